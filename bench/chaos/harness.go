package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/errandq/errand/bench/chaos/book"
	"github.com/errandq/errand/bench/chaos/ledger"
	"github.com/errandq/errand/bench/chaos/role"
)

// each is how many children a role has.
const each = 2

// A harness holds everything that runs.
type harness struct {
	options
	cluster  *cluster
	queues   queues
	children []*child
	book     *book.Book
	soak     *soak
	began    time.Time
	server   sync.Mutex // held by a fault that says so, see fault.server
	deleted  time.Time  // when a queue was last, or the first time ever; guarded by server
	started  time.Time  // when all nodes were started again; guarded by server

	stopFollowing func() error

	mu      sync.Mutex
	errs    []error // of what should not have happened
	watches []*book.Watch
}

func newHarness(ctx context.Context, o options) (*harness, error) {
	c, err := startCluster(ctx, o.nodes)
	if err != nil {
		return nil, err
	}
	h := &harness{options: o, cluster: c, book: book.New(role.Fates()), queues: queues{c.urls[0]}}
	h.soak = newSoak(h)
	if err := h.begin(ctx); err != nil {
		return nil, errors.Join(err, h.close())
	}
	return h, nil
}

// begin starts everything that faults happen to.
func (h *harness) begin(ctx context.Context) error {
	h.say("%s", h.cluster.how())
	asked := h.faults
	if h.faults = possible(asked, h.cluster.size(), h.options); len(h.faults) == 0 {
		return fmt.Errorf("%q take more nodes than there are, or more time", faultNames(asked))
	}
	h.say("seed %d, %v of %q", h.seed, h.lasts, faultNames(h.faults))
	if err := h.prepare(ctx); err != nil {
		return err
	}
	h.follow()
	for _, name := range []string{role.Worker, role.Server, role.Producer, role.Caller} {
		for i := range each {
			if err := h.add(name, i+1); err != nil {
				return err
			}
		}
	}
	return h.writeProxies()
}

// writeProxies says which node is behind which address: the processes' logs know only those of
// their proxies.
func (h *harness) writeProxies() error {
	var lines strings.Builder
	for _, c := range h.children {
		for node, p := range c.proxies {
			fmt.Fprintln(&lines, c.name, p.Addr(), h.cluster.name(node))
		}
	}
	return os.WriteFile(filepath.Join(h.dir, "proxies"), []byte(lines.String()), 0o600)
}

// add starts a child.
func (h *harness) add(name string, number int) error {
	cfg := role.Config{
		Role: name, Name: fmt.Sprintf("%s-%d", name, number), Dir: h.dir,
		Seed: h.seed + uint64(len(h.children)),
		Rate: max(h.rate/each, 1),
		Long: tick + deliveryTimeout + 10*time.Second,
		Big:  2 * largestMessage,
	}
	if name == role.Caller {
		cfg.Rate = max(cfg.Rate/2, 1)
	}
	c, err := newChild(h.cluster, cfg, h.fail)
	if err != nil {
		return err
	}
	h.children = append(h.children, c)
	return c.start()
}

// of are the children of a role.
func (h *harness) of(name string) []*child {
	return slices.DeleteFunc(slices.Clone(h.children), func(c *child) bool { return c.cfg.Role != name })
}

// any is one of the children.
func (h *harness) any(r *rand.Rand) *child { return h.children[r.IntN(len(h.children))] }

// fail notes what should not have happened.
func (h *harness) fail(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.errs = append(h.errs, err)
}

func (h *harness) failures() []error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.errs
}

// follow enters the ledgers into the book while they grow.
func (h *harness) follow() {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	f := ledger.Follow(h.dir)
	poll := func() error {
		return f.Poll(func(name string, e ledger.Event) {
			child := childOf(name)
			h.book.Add(child, e)
			h.soak.add(child, e)
		})
	}
	go func() {
		for role.Sleep(ctx, 50*time.Millisecond) == nil {
			if err := poll(); err != nil {
				ended <- errors.Join(err, f.Close())
				return
			}
		}
		ended <- errors.Join(poll(), f.Close())
	}()
	h.stopFollowing = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
}

// run lets the faults happen, and drains.
func (h *harness) run(ctx context.Context) error {
	if err := h.await(ctx, recovery, h.book.Watch("", false, time.Now(), now(h.children...).subjects...)); err != nil {
		return err
	}
	h.began = time.Now()
	h.book.Produce(h.began, true)
	stop := h.soak.start(ctx)
	err := h.strikeAll(ctx)
	stop()
	if err != nil {
		return err
	}
	return h.drain(ctx)
}

// close ends everything, whatever state it is in.
func (h *harness) close() error {
	var errs []error
	for _, c := range h.children {
		errs = append(errs, c.close())
	}
	if h.stopFollowing != nil {
		errs = append(errs, h.stopFollowing())
	}
	return errors.Join(append(errs, h.cluster.close())...)
}

// childOf is the child whose process has the given name.
func childOf(process string) string {
	for i := len(process) - 1; i >= 0; i-- {
		if process[i] == '.' {
			return process[:i]
		}
	}
	return process
}
