package integration_test

import (
	"context"
	"testing"
	"time"

	"github.com/errandq/errand/devserver"
)

// Settings of the private server, low enough for tests to run into.
const (
	serverMaxMessage  = 64 << 10
	serverAlarmMemory = 400 << 20
)

// private is a server for what can't be done to one that others use. Tests that kill it or
// raise its alarms are not parallel, so they run before the parallel ones on it.
var private = devserver.NewShared(devserver.Options{
	Private: true,
	Nodes:   1,
	Config: `
max_message_size = 65536
consumer_timeout = 4000
vm_memory_high_watermark.absolute = 400MiB
vm_memory_calculation_strategy = erlang
memory_monitor_interval = 500
`,
})

// awaitRegistered waits until a node that has just declared a queue may be killed. A quorum
// queue's name is written to the node's disk half a second after it was declared; a node that
// is killed before forgets the queue with all that it has confirmed, and what is sent to it
// later is never confirmed (RabbitMQ issue 15725, seen on 3.10.8 and 4.0.5). The server does
// not tell when it has been written.
func awaitRegistered(t *testing.T) {
	t.Helper()
	select {
	case <-time.After(2 * time.Second):
	case <-t.Context().Done():
		t.Fatal(context.Cause(t.Context()))
	}
}
