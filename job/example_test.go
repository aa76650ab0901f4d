package job_test

import (
	"fmt"
	"time"

	"github.com/errandq/errand/codec"
	"github.com/errandq/errand/job"
	"github.com/errandq/errand/topology"
)

type Render struct {
	OrderID string `json:"order_id"`
}

// RenderPDF is shared by the programs that enqueue and those that work.
var RenderPDF = job.Define[Render]("pdf.render", job.Queue("pdf"), job.ExpireIn(24*time.Hour))

func ExampleDefine() {
	j := RenderPDF.New(Render{OrderID: "42"})
	fmt.Printf("%s on %s: %s\n", j.Kind, j.Queue, j.Body)
	// Output: pdf.render on pdf: {"order_id":"42"}
}

// Options of New override those of the kind, for one job.
func ExampleKind_New() {
	j := RenderPDF.New(Render{OrderID: "42"}, job.Queue("pdf.urgent"), job.Header("tenant", "blue"), job.ID("order-42"))
	fmt.Println(j.ID, j.Queue, j.Headers)
	// Output: order-42 pdf.urgent map[tenant:blue]
}

// A mistake makes no panic: whoever enqueues the job gets it as an error.
func ExampleJob_Err() {
	j := RenderPDF.New(Render{}, job.Delay(-time.Second))
	fmt.Println(j.Err())
	// Output: job: invalid: kind "pdf.render": a delay of -1s is negative
}

// A queue that other programs fill, and that is not errand's to declare.
func ExampleQueue() {
	legacy := job.Define[string]("legacy.import", job.Queue("import", topology.Existing()), job.Codec(codec.Bytes))
	fmt.Println(legacy.Queue(), topology.HasRetries(legacy.QueueOptions()...))
	// Output: import false
}

func ExampleParse() {
	m := RenderPDF.New(Render{OrderID: "42"}, job.ID("order-42")).Message()
	j, err := job.Parse(m)
	if err != nil {
		fmt.Println(err)
		return
	}
	args, err := RenderPDF.Decode(j)
	fmt.Println(j.ID, args.OrderID, err)
	// Output: order-42 42 <nil>
}
