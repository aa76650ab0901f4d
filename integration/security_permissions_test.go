package integration_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/event"
	"github.com/errandq/errand/job"
	"github.com/errandq/errand/producer"
	"github.com/errandq/errand/retry"
	"github.com/errandq/errand/rpc"
	"github.com/errandq/errand/topology"
	"github.com/errandq/errand/worker"
)

// What the page's programs are about.
var (
	render      = job.Define[numbered]("pdf.render", job.Queue("pdf"))
	orderPlaced = event.Define[numbered]("order.placed")
	billing     = event.Durable("billing")
	thumbnail   = rpc.Define[numbered, int]("pdf.thumbnail")
)

// A role is a row of the table of permissions in docs/how-to/security.md.
type role struct {
	name      string
	grant     permissions
	configure []string // what it needs each of the permissions for, by name
	write     []string
	read      []string
	noDeclare bool
	act       func(s *stage) error // nil: it could do all that it is for
}

// Names that several roles need.
var (
	base   = []string{"errand.jobs", "errand.due", "errand.dead", "errand.parked"}
	ladder = []string{"errand.delay.07", "errand.delay.08"}
)

// What it takes to declare the queue pdf, for producers and workers alike.
var (
	declaresPDF = permissions{only(`errand\..*`, `pdf(\.dead)?`), only(`errand\..*`, `pdf(\.dead)?`), only(`errand\..*`, `pdf`)}
	allOfPDF    = names(base, ladder, []string{"pdf", "pdf.dead"})
)

func names(lists ...[]string) []string { return slices.Concat(lists...) }

var roles = []role{
	{
		name:      "producer",
		grant:     declaresPDF,
		configure: allOfPDF,
		write:     allOfPDF,
		read:      names(base, ladder, []string{"pdf"}),
		act:       enqueueThree,
	},
	{
		name:      "producer, `NoDeclare`",
		grant:     permissions{nothing, only(`errand\.(jobs|delay\..*)`), nothing},
		write:     names([]string{"errand.jobs"}, ladder),
		noDeclare: true,
		act:       enqueueThree,
	},
	{
		name:      "worker",
		grant:     declaresPDF,
		configure: allOfPDF,
		write:     allOfPDF,
		read:      names(base, ladder, []string{"pdf"}),
		act:       workJobs,
	},
	{
		name:      "worker, `NoDeclare`",
		grant:     permissions{nothing, only(`errand\.(jobs|dead|delay\..*)`), only("pdf")},
		write:     names([]string{"errand.jobs", "errand.dead"}, ladder),
		read:      []string{"pdf"},
		noDeclare: true,
		act:       workJobs,
	},
	{
		name:      "publisher",
		grant:     permissions{only(`order\.placed`), only(`order\.placed`), nothing},
		configure: []string{"order.placed"},
		write:     []string{"order.placed"},
		act:       publishEvent,
	},
	{
		name:      "publisher, `NoDeclare`",
		grant:     permissions{nothing, only(`order\.placed`), nothing},
		write:     []string{"order.placed"},
		noDeclare: true,
		act:       publishEvent,
	},
	{
		name: "durable subscriber",
		grant: permissions{
			only(`errand\..*`, `order\.placed`, `billing(\.dead)?`),
			only(`errand\..*`, `billing(\.dead)?`),
			only(`errand\..*`, `order\.placed`, `billing`),
		},
		configure: names(base, ladder, []string{"order.placed", "billing", "billing.dead"}),
		write:     names(base, ladder, []string{"billing", "billing.dead"}),
		read:      names(base, ladder, []string{"order.placed", "billing"}),
		act:       workEvents,
	},
	{
		name:      "durable subscriber, `NoDeclare`",
		grant:     permissions{nothing, only(`errand\.(jobs|dead|delay\..*)`), only("billing")},
		write:     names([]string{"errand.jobs", "errand.dead"}, ladder),
		read:      []string{"billing"},
		noDeclare: true,
		act:       workEvents,
	},
	{
		name:      "temporary subscriber",
		grant:     permissions{only(`amq\.gen-.*`, `order\.placed`), only(`amq\.gen-.*`), only(`amq\.gen-.*`, `order\.placed`)},
		configure: []string{"amq.gen-", "order.placed"},
		write:     []string{"amq.gen-"},
		read:      []string{"amq.gen-", "order.placed"},
		act:       listen,
	},
	{
		name:      "temporary subscriber, `NoDeclare`",
		grant:     permissions{only(`amq\.gen-.*`), only(`amq\.gen-.*`), only(`amq\.gen-.*`, `order\.placed`)},
		configure: []string{"amq.gen-"},
		write:     []string{"amq.gen-"},
		read:      []string{"amq.gen-", "order.placed"},
		noDeclare: true,
		act:       listen,
	},
	{
		name:      "rpc client",
		grant:     permissions{only(`amq\.gen-.*`), only(`amq\.default`), only(`amq\.gen-.*`)},
		configure: []string{"amq.gen-"},
		write:     []string{"amq.default"},
		read:      []string{"amq.gen-"},
		act:       func(s *stage) error { return callOnce(s, rpc.ClientConfig{}) },
	},
	{
		name:  "rpc client, `DirectReplyTo`",
		grant: permissions{nothing, only(`amq\.default`), nothing},
		write: []string{"amq.default"},
		act:   func(s *stage) error { return callOnce(s, rpc.ClientConfig{DirectReplyTo: true}) },
	},
	{
		name:      "rpc server",
		grant:     permissions{only(`pdf\.thumbnail`, `amq\.gen-.*`), only(`amq\.default`), only(`pdf\.thumbnail`, `amq\.gen-.*`)},
		configure: []string{"pdf.thumbnail", "amq.gen-"},
		write:     []string{"amq.default"},
		read:      []string{"pdf.thumbnail", "amq.gen-"},
		act:       answerOnce,
	},
	{
		name:      "rpc server, `NoDeclare`",
		grant:     permissions{only(`amq\.gen-.*`), only(`amq\.default`), only(`pdf\.thumbnail`, `amq\.gen-.*`)},
		configure: []string{"amq.gen-"},
		write:     []string{"amq.default"},
		read:      []string{"pdf.thumbnail", "amq.gen-"},
		noDeclare: true,
		act:       answerOnce,
	},
}

// Each role can do all that it is for with the permissions that the page gives it. With one
// name less in any of them it can't, and says of which name.
func TestLeastPermissions(t *testing.T) {
	t.Parallel()
	page := permissionsOfThePage(t)
	for _, r := range roles {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			if got := page[r.name]; got != r.grant {
				t.Errorf("the page has %+v, want %+v", got, r.grant)
			}
			t.Run("all", func(t *testing.T) {
				t.Parallel()
				s := newStage(t, r, r.grant)
				if err := r.act(s); err != nil {
					t.Errorf("got %v, want it to work", err)
				}
				wantNeeded(t, s, r)
			})
			for _, name := range r.configure {
				r.fails(t, "configure", name, permissions{without(r.grant.configure, name), r.grant.write, r.grant.read})
			}
			for _, name := range r.write {
				r.fails(t, "write", name, permissions{r.grant.configure, without(r.grant.write, name), r.grant.read})
			}
			for _, name := range r.read {
				r.fails(t, "read", name, permissions{r.grant.configure, r.grant.write, without(r.grant.read, name)})
			}
		})
	}
	if len(page) != len(roles) {
		t.Errorf("the page has %d rows, and there are %d roles", len(page), len(roles))
	}
}

// fails wants that r does not work with these permissions, which lack one for name.
func (r role) fails(t *testing.T, kind, name string, less permissions) {
	t.Run(kind+" "+name, func(t *testing.T) {
		t.Parallel()
		s := newStage(t, r, less)
		began := time.Now()
		err := r.act(s)
		if err == nil {
			t.Fatalf("it works without permission to %s %s, so it should not be given that", kind, name)
		}
		if took := time.Since(began); took > 15*time.Second {
			t.Errorf("it took %v to fail: %v", took, err)
		}
		for _, word := range []string{"ACCESS_REFUSED", "'" + name} {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("got %q, want %q in it", err, word)
			}
		}
		if out := "broker.Config.NoDeclare"; strings.Contains(err.Error(), "broker: declare ") && !strings.Contains(err.Error(), out) {
			t.Errorf("got %q, want the way out in it, %s", err, out)
		}
		if lines := len(s.book.lines()); lines > 50 {
			t.Errorf("it logged %d lines, want that it does not try without a pause", lines)
		}
		if n := s.conn.Status().Publish.Generation; n != 1 {
			t.Errorf("it took %d connections, want one", n)
		}
	})
}

// wantNeeded wants that the permissions of r match no name in the virtual host but those
// that r needs.
func wantNeeded(t *testing.T, s *stage, r role) {
	t.Helper()
	for _, p := range []struct {
		kind, expression string
		needed           []string
	}{
		{"configure", r.grant.configure, r.configure},
		{"write", r.grant.write, r.write},
		{"read", r.grant.read, r.read},
	} {
		expression := regexp.MustCompile(p.expression)
		for _, name := range s.admin.names() {
			needed := slices.ContainsFunc(p.needed, func(n string) bool {
				return n == name || strings.HasSuffix(n, "-") && strings.HasPrefix(name, n)
			})
			if expression.MatchString(name) && !needed {
				t.Errorf("%s %s also allows %s, which is not needed", p.kind, p.expression, name)
			}
		}
	}
}

// permissionsOfThePage are the rows of its table, by role.
func permissionsOfThePage(t *testing.T) map[string]permissions {
	t.Helper()
	text, err := os.ReadFile("../docs/how-to/security.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]permissions{}
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.ReplaceAll(line, `\|`, "\x00"), "|")
		if len(cells) != 6 || !strings.Contains(line, "`^") {
			continue
		}
		for i := range cells {
			cells[i] = strings.ReplaceAll(strings.TrimSpace(cells[i]), "\x00", "|")
		}
		rows[cells[1]] = permissions{strings.Trim(cells[2], "`"), strings.Trim(cells[3], "`"), strings.Trim(cells[4], "`")}
	}
	return rows
}

// A stage is a virtual host in which a role acts.
type stage struct {
	t     *testing.T
	admin *administrator
	raw   *raw
	owner *broker.Conn // may do everything
	conn  *broker.Conn // the role's
	cfg   worker.Config
	book  *logbook
}

func newStage(t *testing.T, r role, p permissions) *stage {
	t.Helper()
	url := rabbit.URL(t)
	s := &stage{t: t, admin: newAdministrator(t, rabbit.Server(t).ManagementURL(), url), raw: dialRaw(t, url), owner: dial(t, url)}
	log, book := newLog()
	s.book, s.cfg = book, worker.Config{Retry: retry.Steps{200 * time.Millisecond, 100 * time.Millisecond, 0}, Logger: log}
	if r.noDeclare {
		events, err := orderPlaced.Topology("", billing)
		if err != nil {
			t.Fatal(err)
		}
		all := topology.Join(topology.Work("", "pdf"), events, topology.Requests(thumbnail.Name()), topology.Ladder("", 200*time.Millisecond))
		if err := s.owner.Declare(t.Context(), all); err != nil {
			t.Fatal(err)
		}
	}
	s.conn = dialWith(t, s.admin.user(p), broker.Config{NoDeclare: r.noDeclare, Logger: log})
	return s
}

// enqueueThree enqueues jobs for now and for later.
func enqueueThree(s *stage) error {
	err := producer.New(s.conn, producer.Config{}).Enqueue(s.t.Context(), render.New(numbered{1}),
		render.New(numbered{2}, job.Delay(200*time.Millisecond)), render.New(numbered{3}, job.Delay(100*time.Millisecond)))
	if err != nil {
		return err
	}
	for range 3 {
		s.raw.await("pdf")
	}
	return nil
}

// What the handler of stubborn and hopeless jobs makes of them.
const (
	stubborn = 1 // fails three times: the copies go over both levels of the ladder, and straight
	hopeless = 2 // fails for ever
)

func handle(ctx context.Context, n numbered) error {
	j, _ := worker.JobFrom(ctx)
	switch {
	case n.N == hopeless:
		return retry.Permanent(errBoom)
	case j.Attempt <= 3:
		return errBoom
	}
	return nil
}

func workJobs(s *stage) error {
	w := worker.New(s.conn, s.cfg)
	worker.Handle(w, render, handle)
	return s.work(w, "pdf", func(n int) { enqueue(s.t, s.owner, render.New(numbered{n})) })
}

func workEvents(s *stage) error {
	w := worker.New(s.conn, s.cfg)
	event.Subscribe(w, orderPlaced, billing, handle)
	return s.work(w, "billing", func(n int) { publish(s.t, producer.New(s.owner, producer.Config{}), orderPlaced, numbered{n}) })
}

// work runs w, and wants of it that it works one stubborn job and puts one hopeless one aside.
func (s *stage) work(w *worker.Worker, queue string, send func(n int)) error {
	ctx, cancel := context.WithCancel(s.t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	if err := s.await(ended, "a consumer", func() bool { return s.raw.exists(queue) && s.raw.consumers(queue) > 0 }); err != nil {
		return err
	}
	send(stubborn)
	send(hopeless)
	// A refused message closes the channel, and what was in flight beside it is sent again.
	err := s.await(ended, "the end of both jobs", func() bool { return w.Stats().Dead > 0 && w.Stats().Done+w.Stats().Dead >= 2 })
	if err != nil {
		return err
	}
	cancel()
	if err := receive(s.t, "the end of Run", ended); err != nil {
		return err
	}
	for range w.Stats().Dead {
		m := s.raw.await(topology.DeadQueue(queue))
		if reason, _ := m.Headers["errand-reason"].(string); reason != string(job.Permanent) {
			err = errors.Join(err, fmt.Errorf("put aside as %q: %v", cmp.Or(reason, "rejected"), m.Headers["errand-error"]))
		}
	}
	for _, line := range s.book.lines("could not be copied") {
		err = errors.Join(err, errors.New(line))
	}
	return err
}

// await waits until ok, or returns why a program has ended before.
func (s *stage) await(ended <-chan error, what string, ok func() bool) error {
	deadline := time.After(patience)
	for !ok() {
		select {
		case err := <-ended:
			return cmp.Or(err, errors.New("it ended by itself"))
		case <-deadline:
			return fmt.Errorf("%v have passed without: %s", patience, what)
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}

func publishEvent(s *stage) error {
	return orderPlaced.Publish(s.t.Context(), producer.New(s.conn, producer.Config{}), numbered{1})
}

// listen wants to hear an event.
func listen(s *stage) error {
	w := worker.New(s.conn, s.cfg)
	heard := make(chan int, 1)
	event.Subscribe(w, orderPlaced, event.Temporary(), func(_ context.Context, n numbered) error {
		heard <- n.N
		return nil
	})
	ctx, cancel := context.WithCancel(s.t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	p := producer.New(s.owner, producer.Config{})
	if err := s.await(ended, "an event", func() bool {
		publish(s.t, p, orderPlaced, numbered{1})
		select {
		case <-heard:
			return true
		default:
			return false
		}
	}); err != nil {
		return err
	}
	go func() {
		for range heard { // what else was published
		}
	}()
	cancel()
	err := receive(s.t, "the end of Run", ended)
	close(heard)
	return err
}

// callOnce calls the owner's server.
func callOnce(s *stage, cfg rpc.ClientConfig) error {
	server := newRPC(s.owner, rpc.ServerConfig{})
	rpc.Handle(server, thumbnail, func(_ context.Context, n numbered) (int, error) { return n.N, nil })
	serve(s.t, server)
	s.raw.awaitConsumer("pdf.thumbnail")
	ctx, cancel := context.WithTimeout(s.t.Context(), 10*time.Second)
	defer cancel()
	got, err := thumbnail.Call(ctx, newClient(s.t, s.conn, cfg), numbered{7})
	if err == nil && got != 7 {
		return fmt.Errorf("got %d, want 7", got)
	}
	return err
}

// answerOnce answers the owner's call.
func answerOnce(s *stage) error {
	server := rpc.NewServer(s.conn, rpc.ServerConfig{Logger: s.cfg.Logger})
	rpc.Handle(server, thumbnail, func(_ context.Context, n numbered) (int, error) { return n.N, nil })
	ctx, cancel := context.WithCancel(s.t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	if err := s.await(ended, "a server", func() bool {
		return s.raw.exists("pdf.thumbnail") && s.raw.consumers("pdf.thumbnail") > 0
	}); err != nil {
		return err
	}
	call, stop := context.WithTimeout(s.t.Context(), 5*time.Second)
	defer stop()
	_, err := thumbnail.Call(call, newClient(s.t, s.owner, rpc.ClientConfig{}), numbered{7})
	cancel()
	err = errors.Join(err, receive(s.t, "the end of Run", ended))
	for _, line := range s.book.lines("consuming interrupted") {
		err = errors.Join(err, errors.New(line))
	}
	return err
}
