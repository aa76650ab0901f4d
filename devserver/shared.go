package devserver

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"
)

// sharedStartTimeout covers the pulling of an image and a slow machine.
const sharedStartTimeout = 4 * time.Minute

// Shared is one server for all tests of a package, started by the first that asks for it.
// Its methods may be called from parallel tests. Make it with [NewShared], and stop it by
// running the tests through Main or Wrap.
type Shared struct {
	start func() (*Server, error)
	stop  func() error
}

// NewShared returns a server that is not started yet.
func NewShared(o Options) *Shared {
	var mu sync.Mutex // guards started
	var started *Server
	return &Shared{
		start: sync.OnceValues(func() (*Server, error) {
			ctx, cancel := context.WithTimeout(context.Background(), sharedStartTimeout)
			defer cancel()
			s, err := Start(ctx, o)
			mu.Lock()
			defer mu.Unlock()
			started = s
			return s, err
		}),
		stop: func() error {
			mu.Lock()
			defer mu.Unlock()
			if started == nil {
				return nil
			}
			return started.Stop()
		},
	}
}

// Runner is *testing.M, or what wraps one.
type Runner interface{ Run() int }

// Main runs the tests, stops the server, and returns the exit code:
//
//	func TestMain(m *testing.M) { os.Exit(rabbit.Main(m)) }
func (s *Shared) Main(m Runner) int { return s.Wrap(m).Run() }

// Wrap returns a Runner that runs the tests and then stops the server, for use with
// another TestMain helper:
//
//	func TestMain(m *testing.M) { goleak.VerifyTestMain(rabbit.Wrap(m)) }
func (s *Shared) Wrap(m Runner) Runner { return wrapped{s, m} }

type wrapped struct {
	shared *Shared
	tests  Runner
}

func (w wrapped) Run() int {
	code := w.tests.Run()
	if err := w.shared.stop(); err != nil {
		fmt.Fprintln(os.Stderr, err) // there is no test any more that could fail
		return max(code, 1)
	}
	return code
}

// Server returns the server, starting it if need be. Where none can be had it fails the
// test, or skips it in short mode, with the reason.
func (s *Shared) Server(tb testing.TB) *Server {
	tb.Helper()
	server, err := s.start()
	if err != nil && testing.Short() {
		tb.Skipf("skipped in short mode: %v", err)
	}
	if err != nil {
		tb.Fatalf("%v\n(go test -short skips the tests that need a RabbitMQ)", err)
	}
	return server
}

// URL returns the URL of a fresh vhost, which is deleted with all that is in it when the
// test ends. Where the server of AMQP_URL has no management API that makes vhosts, it fails
// the test, or skips it in short mode: tests that share a vhost would get each other's jobs.
func (s *Shared) URL(tb testing.TB) string {
	tb.Helper()
	server := s.Server(tb)
	if server.manage == nil {
		const text = "devserver: no vhost for the test: the management API of %s's server can't be reached, or its user is no administrator; %s says where it is"
		if testing.Short() {
			tb.Skipf("skipped in short mode: "+text, EnvURL, EnvManagementURL)
		}
		tb.Fatalf(text, EnvURL, EnvManagementURL)
	}
	url, err := server.NewVhost(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		// The test's own context is done by now.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(tb.Context()), 30*time.Second)
		defer cancel()
		settle(ctx)
		if err := server.DeleteVhost(ctx, url); err != nil {
			tb.Errorf("%v", err)
		}
	})
	return url
}

// settling is for how long the queues of a test are left alone before they are deleted. RabbitMQ
// 3.10.8 begins to send on a new queue's dead letters a moment after the queue was declared; if
// it is deleted right then, the supervisor of all such senders may end (rabbit_fifo_dlx_sup), and
// from then on the node refuses what is sent to its quorum queues.
const settling = 500 * time.Millisecond

func settle(ctx context.Context) {
	select {
	case <-time.After(settling):
	case <-ctx.Done():
	}
}
