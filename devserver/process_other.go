//go:build !unix

package devserver

import "errors"

// Where there are no process groups, a node's processes can't be ended reliably, so none is
// started: AMQP_URL and containers remain.

type (
	process  struct{ name string }
	watchdog struct{}
)

func startProcess(string, string, []string, ...string) (*process, error) {
	return nil, errors.ErrUnsupported
}

func startWatchdog(string) (*watchdog, error) { return nil, errors.ErrUnsupported }

func (*process) ended() bool  { return true }
func (*process) kill() error  { return nil }
func (*watchdog) stop() error { return nil }
