package integration_test

import (
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
