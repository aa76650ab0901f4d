package topology_test

import (
	"fmt"
	"time"

	"github.com/errandq/errand/topology"
)

// What Work declares can be printed and compared.
func ExampleWork() {
	top := topology.Work("", "import", topology.Existing(), topology.Retries())
	for _, b := range top.Bindings {
		fmt.Println("from", b.Source, "to", b.Destination)
	}
	// Output:
	// from errand.parked to errand.parked
	// from errand.due to import
	// from errand.dead to import.dead
}

// A delay is rounded up to a multiple of 128 ms, and its key spells it in binary.
func ExampleRoute() {
	p := topology.Route("", "pdf", time.Second)
	fmt.Println(p.Exchange, p.Delay)
	fmt.Println(p.Key)
	// Output:
	// errand.delay.10 1.024s
	// 0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.0.0.pdf
}

func ExampleRoundRetry() {
	for _, delay := range []time.Duration{time.Second, time.Minute, time.Hour} {
		fmt.Println(topology.RoundRetry(delay))
	}
	// Output:
	// 1.024s
	// 1m5.536s
	// 1h1m10.016s
}

func ExampleCheckQueue() {
	fmt.Println(topology.CheckQueue("errand.jobs"))
	// Output: topology: bad name: queue "errand.jobs": names that begin with amq. or errand. are reserved
}
