package integration_test

import (
	"flag"
	"os"
	"testing"

	"github.com/errandq/errand/devserver"
	"go.uber.org/goleak"
)

// rabbit is the server that the tests of this package share, each in a vhost of its own.
var rabbit = &sharedServer{Shared: devserver.NewShared(devserver.Options{})}

func TestMain(m *testing.M) {
	if url := os.Getenv(envWorker); url != "" {
		workUntilKilled(url)
	}
	if url := os.Getenv(envCrasher); url != "" {
		workUntilCrashed(url)
		return
	}
	waitTogether()
	goleak.VerifyTestMain(private.Wrap(rabbit.Wrap(m)))
}

// waitTogether runs more tests at once than there are processors, unless -parallel says how
// many, because most of them wait most of the time: for delays, heartbeats and timeouts.
func waitTogether() {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		_ = flag.Set("test.parallel", "8") // the flag exists, and 8 is a number
	}
}
