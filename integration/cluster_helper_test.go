package integration_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/devserver"
	"github.com/errandq/errand/job"
	"github.com/errandq/errand/producer"
	"github.com/errandq/errand/topology"
	"github.com/errandq/errand/worker"
)

// A sharedServer may have several nodes. Its URL names the first, because proxies and clients
// in other languages take one; dial connects to any of them.
type sharedServer struct {
	*devserver.Shared
	lists sync.Map // URL -> the URLs of all nodes, separated by commas
	warm  sync.Once
}

// URL returns the URL of a fresh vhost on one node.
func (s *sharedServer) URL(t testing.TB) string {
	t.Helper()
	list := s.Shared.URL(t)
	first, _, several := strings.Cut(list, ",")
	s.warm.Do(func() { awaitDirectReplies(t, first) })
	if several {
		s.lists.Store(first, list)
	}
	return first
}

// everywhere is a URL, or those of all nodes if URL returned it on a server of several.
func (s *sharedServer) everywhere(url string) string {
	if list, ok := s.lists.Load(url); ok {
		return list.(string)
	}
	return url
}

// members are the nodes of the cluster, or the test is skipped.
func members(t *testing.T) []*devserver.Member {
	t.Helper()
	all := rabbit.Server(t).Members()
	if len(all) < 3 {
		t.Skipf("this server has one node: %s=3 and a Docker engine make a cluster, as make test-matrix does", devserver.EnvNodes)
	}
	return all
}

// A traffic are producers and workers of a cluster at work, one of each at every node. It
// counts the jobs of which Enqueue returned nil.
type traffic struct {
	t        *testing.T
	url      string // of the first node
	nodes    []*devserver.Member
	worked   tally
	enqueued atomic.Int64
	stop     func() // the producers

	mu      sync.Mutex
	last    time.Time     // when a job was last worked
	longest time.Duration // without any
}

const trafficQueue = "traffic"

// newTraffic starts the producers and workers, and returns when jobs are worked.
func newTraffic(t *testing.T) *traffic {
	t.Helper()
	f := &traffic{t: t, nodes: members(t)}
	f.url = rabbit.URL(t)
	kind := job.Define[numbered](trafficQueue, job.Queue(trafficQueue))
	for _, m := range f.nodes {
		f.settle(m, func(conn *broker.Conn) (string, func()) {
			w := worker.New(conn, worker.Config{Concurrency: 8, Logger: quiet})
			worker.Handle(w, kind, f.work)
			stop := start(t, w)
			eventually(t, "the worker's connection", func() bool { return conn.Status().Consume.Endpoint != "" })
			return conn.Status().Consume.Endpoint, stop
		})
	}
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var last atomic.Int64
	for _, m := range f.nodes {
		conn := f.settle(m, func(conn *broker.Conn) (string, func()) {
			return conn.Status().Publish.Endpoint, func() {}
		})
		p := producer.New(conn, producer.Config{})
		for range trafficCallers {
			wg.Go(func() {
				for ctx.Err() == nil {
					// Not with ctx: it would leave open what became of the last job.
					if err := p.Enqueue(t.Context(), kind.New(numbered{int(last.Add(1))})); err != nil {
						t.Errorf("enqueue: %v", err)
						return
					}
					f.enqueued.Add(1)
				}
			})
		}
	}
	f.stop = func() { stop(); wg.Wait() }
	t.Cleanup(f.stop)
	f.more(500)
	awaitRegistered(t)
	f.mu.Lock()
	f.longest = 0 // of the time from now on
	f.mu.Unlock()
	return f
}

// trafficCallers are the callers of Enqueue at each node.
const trafficCallers = 4

// settle connects to all nodes, as somebody who knows that they go away, until the endpoint
// that use says is that of m: which one it is, chance decides. use also says how to end it.
func (f *traffic) settle(m *devserver.Member, use func(*broker.Conn) (endpoint string, stop func())) *broker.Conn {
	f.t.Helper()
	own, err := m.Of(rabbit.everywhere(f.url))
	if err != nil {
		f.t.Fatal(err)
	}
	u, err := url.Parse(own)
	if err != nil {
		f.t.Fatal(err)
	}
	for range 100 {
		conn := dialWith(f.t, f.url, broker.Config{Heartbeat: 2 * time.Second})
		endpoint, stop := use(conn)
		if strings.Contains(endpoint, u.Host) {
			return conn
		}
		stop()
		if err := conn.Close(); err != nil {
			f.t.Fatal(err)
		}
	}
	f.t.Fatalf("100 connections, and none to %s", m.Name())
	return nil
}

func (f *traffic) work(ctx context.Context, n numbered) error {
	f.mu.Lock()
	now := time.Now()
	if !f.last.IsZero() {
		f.longest = max(f.longest, now.Sub(f.last))
	}
	f.last = now
	f.mu.Unlock()
	return f.worked.work(ctx, n)
}

// more waits until so many more jobs were worked.
func (f *traffic) more(n int) {
	f.t.Helper()
	goal := f.worked.worked() + n
	eventually(f.t, "more jobs worked", func() bool { return f.worked.worked() >= goal })
}

// leader is the node that leads the traffic's queue.
func (f *traffic) leader() *devserver.Member {
	f.t.Helper()
	admin := newAdministrator(f.t, rabbit.Server(f.t).ManagementURL(), f.url)
	var q struct{ Leader string }
	if err := json.Unmarshal(admin.call(http.MethodGet, "/api/queues"+admin.url.Path+"/"+trafficQueue, nil), &q); err != nil {
		f.t.Fatal(err)
	}
	for _, m := range f.nodes {
		if m.Name() == q.Leader {
			return m
		}
	}
	f.t.Fatalf("the leader is %q, which is no member", q.Leader)
	return nil
}

// check ends the traffic, and wants each job worked that was enqueued, none put aside, and
// no longer pause than allowed.
func (f *traffic) check(allowed time.Duration) {
	f.t.Helper()
	f.mu.Lock()
	longest := f.longest // before the end, when few jobs are on their way
	f.mu.Unlock()
	began := time.Now()
	f.stop() // each Enqueue returns nil
	answered := time.Since(began)
	enqueued := int(f.enqueued.Load())
	eventually(f.t, "all jobs that were enqueued", func() bool { return f.worked.worked() == enqueued })
	f.t.Logf("%d jobs, none lost, %d worked again; %v at most without any; the last Enqueue returned after %v",
		enqueued, f.worked.duplicates(), longest.Round(time.Millisecond), answered.Round(time.Millisecond))
	if longest > allowed {
		f.t.Errorf("no job was worked for %v, want some after %v", longest.Round(time.Millisecond), allowed)
	}
	dialRaw(f.t, f.url).empty(trafficQueue, topology.DeadQueue(trafficQueue))
}
