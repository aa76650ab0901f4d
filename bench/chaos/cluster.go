package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	"github.com/errandq/errand/devserver"
)

// A cluster is the RabbitMQ that things are done to. Faults that need several nodes say so by
// fault.nodes; what they do to a node belongs here, as a method.
type cluster interface {
	// addresses are those of the nodes, each host:port.
	addresses() []string
	// through is the URL of the run's virtual host with the nodes' addresses replaced.
	through(addresses []string) string
	// restart kills a node without warning and returns when it takes connections again.
	restart(ctx context.Context, node int) error
	// closeConnections closes those of the run's user as an administrator does.
	closeConnections(ctx context.Context) error
	// exhaust raises the memory alarm until release.
	exhaust(ctx context.Context) (release func(), err error)
	// observe is what the server holds.
	observe(ctx context.Context) (holdings, error)
	// how says in a line what it is.
	how() string
	close(ctx context.Context) error
}

// Settings of the server, low enough to be run into. The alarm's memory is that of a server
// without much to do, twice.
const (
	deliveryTimeout = 4 * time.Second
	largestMessage  = 64 << 10
	alarmMemory     = 400 << 20
	// The server keeps what is in its write-ahead log in memory, too: half a gigabyte by
	// default, which would hide any trend.
	largestLog = 32 << 20
)

var serverConfig = fmt.Sprintf(`
consumer_timeout = %d
max_message_size = %d
vm_memory_high_watermark.absolute = %d
vm_memory_calculation_strategy = erlang
memory_monitor_interval = 500
collect_statistics_interval = 1000
raft.wal_max_size_bytes = %d
`, deliveryTimeout.Milliseconds(), largestMessage, alarmMemory, largestLog)

// single is one node of a private server.
type single struct {
	server    *devserver.Server
	url       string // of the run
	elsewhere string // of what fills the memory
	api       *api
}

func startSingle(ctx context.Context) (s *single, err error) {
	server, err := devserver.Start(ctx, devserver.Options{
		Private: true, Config: serverConfig, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, server.Stop())
		}
	}()
	s = &single{server: server}
	if s.url, err = server.NewVhost(ctx); err != nil {
		return nil, err
	}
	if s.elsewhere, err = server.NewVhost(ctx); err != nil {
		return nil, err
	}
	s.api, err = newAPI(server.ManagementURL(), s.url)
	return s, err
}

func (s *single) how() string { return s.server.How() }

func (s *single) addresses() []string { return []string{parsed(s.url).Host} }

func (s *single) through(addresses []string) string {
	u := parsed(s.url)
	u.Host = addresses[0]
	return u.String()
}

// parsed is a URL that devserver has made.
func parsed(raw string) *url.URL {
	u, err := url.Parse(raw)
	if err != nil {
		panic(fmt.Sprintf("chaos: the server's own URL does not parse: %v", err))
	}
	return u
}

func (s *single) restart(ctx context.Context, _ int) error { return s.server.Restart(ctx) }

func (s *single) closeConnections(ctx context.Context) error {
	return s.server.CloseConnections(ctx, "chaos", s.url)
}

func (s *single) exhaust(ctx context.Context) (func(), error) {
	g, err := newHog(s.elsewhere, 2*alarmMemory)
	if err != nil {
		return nil, err
	}
	if err := s.api.awaitAlarm(ctx); err != nil {
		g.close()
		return nil, err
	}
	return g.close, nil
}

func (s *single) observe(ctx context.Context) (holdings, error) { return s.api.observe(ctx) }

func (s *single) close(context.Context) error {
	s.api.http.CloseIdleConnections()
	return s.server.Stop()
}
