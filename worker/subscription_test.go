package worker_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/job"
	"github.com/errandq/errand/retry"
	"github.com/errandq/errand/topology"
	"github.com/errandq/errand/worker"
)

// news is what a queue takes from an exchange.
var news = topology.From(topology.Topology{
	Exchanges: []topology.Exchange{{Name: "news", Kind: "fanout"}},
	Bindings:  []topology.Binding{{Source: "news"}},
})

var (
	heard   = job.Define[args]("heard", job.Queue("audit", news))
	passing = job.Define[args]("heard", job.Queue("temporary 1", news, topology.Temporary()))
)

// event is a message as it comes from the exchange.
func event(id string, opts ...job.Option) broker.Message {
	m := heard.New(args{N: 1}, append(opts, job.ID(id))...).Message()
	m.Exchange, m.Key = "news", "k"
	return m
}

// A temporary queue's messages are worked at most once: there is nowhere to put them.
func TestOutcomesOnATemporaryQueue(t *testing.T) {
	t.Parallel()
	untyped, unknown, malformed, garbled, expired := event("j"), event("j"), event("j"), event("j"), event("j")
	untyped.Type, unknown.Type, malformed.Body = "", "other", []byte("{")
	garbled.Headers = map[string]any{"errand-attempt": "x"}
	expired.Headers = map[string]any{"errand-expires-at": int64(1)}
	panics := func(context.Context, args) error { panic("ouch") }
	tests := []struct {
		name    string
		message broker.Message
		handler func(context.Context, args) error
		stats   worker.Stats
	}{
		{"nil", event("j"), returns(nil), worker.Stats{Done: 1}},
		{"error", event("j"), returns(errDisk), worker.Stats{Dropped: 1}},
		{"permanent", event("j"), returns(retry.Permanent(errDisk)), worker.Stats{Dropped: 1}},
		{"after", event("j"), returns(retry.After(time.Second, errDisk)), worker.Stats{Dropped: 1}},
		{"snooze", event("j"), returns(worker.Snooze(time.Second)), worker.Stats{Dropped: 1}},
		{"panic", event("j"), panics, worker.Stats{Dropped: 1, Panicked: 1}},
		{"no type", untyped, returns(nil), worker.Stats{Done: 1}},
		{"unknown kind", unknown, ranAnyway(t), worker.Stats{Dropped: 1}},
		{"malformed body", malformed, ranAnyway(t), worker.Stats{Dropped: 1}},
		{"malformed header", garbled, ranAnyway(t), worker.Stats{Dropped: 1}},
		{"not yet", event("j", job.Delay(time.Hour)), returns(nil), worker.Stats{Done: 1}},
		{"expired", expired, ranAnyway(t), worker.Stats{Expired: 1}},
	}
	for _, test := range tests {
		synctest.Test(t, func(t *testing.T) {
			f := watch(t)
			w := worker.New(f, worker.Config{Logger: quiet, Retry: retry.Steps{time.Second, time.Second}})
			worker.Handle(w, passing, test.handler)
			stop := start(t, w)
			f.put("", test.message)
			synctest.Wait()
			if err := stop(); err != nil {
				t.Errorf("%s: Run: %v", test.name, err)
			}
			if got := f.verbs(); !slices.Equal(got, []string{"ack"}) {
				t.Errorf("%s: got %v, want one ack and no copy", test.name, got)
			}
			if got := w.Stats(); got != test.stats {
				t.Errorf("%s: got %+v, want %+v", test.name, got, test.stats)
			}
		})
	}
}

func TestDroppedMessagesAreLogged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := watch(t)
		var text bytes.Buffer
		w := worker.New(f, worker.Config{Logger: slog.New(slog.NewTextHandler(&text, nil))})
		worker.Handle(w, passing, returns(errDisk))
		stop := start(t, w)
		f.put("", event("lost"))
		synctest.Wait()
		if err := stop(); err != nil {
			t.Error(err)
		}
		for _, want := range []string{"level=ERROR", "job dropped", "kind=heard", "job=lost", `queue="temporary 1"`, "disk is full"} {
			if !strings.Contains(text.String(), want) {
				t.Errorf("the log has no %s:\n%s", want, &text)
			}
		}
	})
}

// The broker is told to make the queue itself, and what the queue is bound to.
func TestSubscriptionToATemporaryQueue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := watch(t)
		w := worker.New(f, worker.Config{Logger: quiet, Queues: map[string]worker.Queue{"temporary 1": {Prefetch: 77}}})
		worker.Handle(w, passing, returns(nil))
		stop := start(t, w)
		synctest.Wait()
		s := f.subscription("")
		if want := "exchange news fanout\nbind news \"\" -> queue \n"; s.Topology.String() != want || s.NoAck || s.Prefetch != 77 {
			t.Errorf("got %+v, want topology\n%s", s, want)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		if len(f.declared) > 0 {
			t.Errorf("declared %v beside it", f.declared)
		}
	})
}

// Two handlers of one kind on two queues each get what their queue gets, and their retries
// come back to it.
func TestOneKindOnTwoQueues(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := watch(t)
		w := worker.New(f, worker.Config{Logger: quiet, Retry: retry.Steps{time.Second, time.Second}})
		var seen []string
		on := func(queue string, err error) {
			kind := job.Define[args]("heard", job.Queue(queue, news))
			worker.Handle(w, kind, func(ctx context.Context, _ args) error {
				j, _ := worker.JobFrom(ctx)
				seen = append(seen, fmt.Sprint(queue, " ", j.Queue, " ", j.ID, " ", j.Exchange, " ", j.Key))
				return err
			})
		}
		on("mail", errDisk)
		on("audit", nil)
		stop := start(t, w)
		f.put("mail", event("j"))
		synctest.Wait()
		f.put("audit", event("j"))
		synctest.Wait()
		if err := stop(); err != nil {
			t.Error(err)
		}
		if want := []string{"mail mail j news k", "audit audit j news k"}; !slices.Equal(seen, want) {
			t.Errorf("got %q, want %q", seen, want)
		}
		if got, want := w.Stats(), (worker.Stats{Done: 1, Retried: 1}); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
		next := f.published(t)
		if next.Attempt != 2 || next.ID != "j" || next.Exchange != "news" || next.Key != "k" {
			t.Errorf("the copy is %+v, want attempt 2 with where it came from", next)
		}
		for _, e := range f.entries() {
			if strings.HasPrefix(e.what, "publish") && (e.message.Exchange == "news" || !strings.HasSuffix(e.message.Key, ".mail")) {
				t.Errorf("the copy goes to %q with key %q, want to mail alone", e.message.Exchange, e.message.Key)
			}
		}
	})
}

// Kinds that share a queue may each bind it to something else.
func TestKindsThatShareAQueueDeclareAllOfIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := watch(t)
		w := worker.New(f, worker.Config{Logger: quiet})
		weather := topology.From(topology.Topology{
			Exchanges: []topology.Exchange{{Name: "weather", Kind: "fanout"}},
			Bindings:  []topology.Binding{{Source: "weather"}},
		})
		worker.Handle(w, heard, returns(nil))
		worker.Handle(w, job.Define[args]("rain", job.Queue("audit", weather)), returns(nil))
		stop := start(t, w)
		synctest.Wait()
		got := f.subscription("audit").Topology.String()
		for _, want := range []string{`bind news "" -> queue audit`, `bind weather "" -> queue audit`} {
			if !strings.Contains(got, want+"\n") {
				t.Errorf("declared\n%s\nwant also\n%s", got, want)
			}
		}
		if n := strings.Count(got, "queue audit.dead x-"); n != 1 {
			t.Errorf("declared the dead-letter queue %d times\n%s", n, got)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// Where a job came from is told of exchanges of others, not of errand's own and not of a
// queue that was sent to straight.
func TestWhereJobsComeFrom(t *testing.T) {
	t.Parallel()
	tests := []struct{ exchange, key, wantExchange, wantKey string }{
		{"news", "k", "news", "k"},
		{"news", "", "news", ""},
		{"shop.news", "k", "shop.news", "k"},
		{"errand.jobs", "audit", "errand.jobs", "audit"}, // of another namespace
		{"shop.jobs", "audit", "", ""},
		{"shop.due", "0.1.audit", "", ""},
		{"shop.dead", "audit", "", ""},
		{"", "audit", "", ""},
	}
	for _, test := range tests {
		synctest.Test(t, func(t *testing.T) {
			f := watch(t)
			w := worker.New(f, worker.Config{Logger: quiet, Namespace: "shop"})
			var got job.Job
			worker.Handle(w, heard, func(ctx context.Context, _ args) error {
				got, _ = worker.JobFrom(ctx)
				return nil
			})
			stop := start(t, w)
			m := event("j")
			m.Exchange, m.Key = test.exchange, test.key
			f.put("audit", m)
			synctest.Wait()
			if err := stop(); err != nil {
				t.Error(err)
			}
			if got.Exchange != test.wantExchange || got.Key != test.wantKey {
				t.Errorf("exchange %q, key %q: got %q and %q, want %q and %q",
					test.exchange, test.key, got.Exchange, got.Key, test.wantExchange, test.wantKey)
			}
		})
	}
}

// A member that is tried again, or put aside, is still of its group.
func TestCopiesStayInTheirGroup(t *testing.T) {
	t.Parallel()
	for name, err := range map[string]error{"retried": errDisk, "dead": retry.Permanent(errDisk), "snoozed": worker.Snooze(time.Second)} {
		synctest.Test(t, func(t *testing.T) {
			f := watch(t)
			w := worker.New(f, worker.Config{Logger: quiet, Retry: retry.Steps{time.Second}})
			worker.Handle(w, render, returns(err))
			stop := start(t, w)
			member := job.Group(thumbnail.New(args{7}, job.ID("g")), render.New(args{1}), render.New(args{2}))[0]
			f.put("pdf", member.Message())
			synctest.Wait()
			if err := stop(); err != nil {
				t.Error(err)
			}
			if g := f.published(t).Group; g == nil || g.ID != "g" || g.Size != 2 || g.Then.Kind != "pdf.thumbnail" || string(g.Then.Body) != `{"n":7}` {
				t.Errorf("%s: the copy is of group %+v, want that of its job", name, g)
			}
		})
	}
}
