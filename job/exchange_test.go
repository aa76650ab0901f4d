package job_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/job"
	"github.com/errandq/errand/topology"
)

// shop is a topic exchange, and placed an event that is published to it.
var (
	shop   = topology.Topology{Exchanges: []topology.Exchange{{Name: "shop", Kind: "topic"}}}
	placed = job.Define[order]("order.placed", job.Publish("shop", shop))
)

func TestEventsGoToTheirExchange(t *testing.T) {
	t.Parallel()
	r := &recorder{}
	heard := placed.New(order{}, job.Key("eu.de"), job.Mandatory())
	for _, j := range []job.Job{placed.New(order{}, job.Key("eu.de")), heard} {
		if !j.Published() || j.Queue != "" {
			t.Errorf("got %+v, want an event and no queue", j)
		}
	}
	send(t, job.NewSender(r, "ns"), placed.New(order{}, job.Key("eu.de")), heard, ship.New(order{}))
	if want := shop.String() + topology.Work("ns", "orders").String(); strings.Join(r.declared, "") != want {
		t.Errorf("declared\n%s\nwant\n%s", strings.Join(r.declared, ""), want)
	}
	for i, want := range []struct {
		exchange, key string
		optional      bool
	}{{"shop", "eu.de", true}, {"shop", "eu.de", false}, {"ns.jobs", "orders", false}} {
		if m := r.published[0][i]; m.Exchange != want.exchange || m.Key != want.key || m.Optional != want.optional || len(m.Headers) > 0 {
			t.Errorf("message %d: got %+v, want %+v and no headers", i, m, want)
		}
	}
}

func TestMistakesInPublishedKinds(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		job  job.Job
		want string
	}{
		{"no exchange", job.Define[order]("e", job.Publish("", shop)).New(order{}), "the exchange has no name"},
		{"long key", placed.New(order{}, job.Key(strings.Repeat("k", 256))), "of 256 bytes, 255 are allowed"},
		{"delayed", placed.New(order{}, job.Delay(time.Hour)), "an event can't be delayed"},
		{"at a time", placed.New(order{}, job.At(time.Now().Add(time.Hour))), "an event can't be delayed"},
		{"delayed as a kind", job.Define[order]("e", job.Publish("x", shop), job.Delay(time.Hour)).New(order{}), "an event can't be delayed"},
		{"of others' fault", job.Define[order]("e", job.Fault(errOfOthers), job.Publish("", shop)).New(order{}), "of others"},
	}
	for _, test := range tests {
		r := &recorder{}
		err := job.NewSender(r, "").Send(t.Context(), test.job)
		if err == nil || !strings.Contains(err.Error(), test.want) || len(r.published) > 0 || len(r.declared) > 0 {
			t.Errorf("%s: got %v, %d published and %q declared, want an error with %q and nothing else",
				test.name, err, len(r.published), r.declared, test.want)
		}
	}
	if err := placed.New(order{}, job.Key(strings.Repeat("k", 255)), job.ExpireIn(time.Hour), job.Delay(0)).Err(); err != nil {
		t.Errorf("a key of 255 bytes, an expiry, and no delay: got %v, want no error", err)
	}
	if err := job.Define[order]("e", job.Fault(nil)).Err(); err != nil {
		t.Errorf("no fault: got %v, want no error", err)
	}
}

var errOfOthers = errors.New("a fault of others")

// An exchange that is gone is made again, and only what was lost by it is sent once more.
func TestEventsAreSentAgainWhenTheirExchangeIsGone(t *testing.T) {
	t.Parallel()
	lost := placed.New(order{}, job.Key("eu"), job.ID("lost"))
	other := ship.New(order{}, job.ID("other"))
	r := &recorder{}
	r.publish = func(call int, ms []broker.Message) error {
		if call != 2 {
			return nil
		}
		return unroutable(ms[0])
	}
	s := job.NewSender(r, "")
	send(t, s, lost)
	send(t, s, lost, other)
	if len(r.published) != 3 || len(r.published[2]) != 1 || r.published[2][0].ID != "lost" || !r.published[2][0].Optional {
		t.Errorf("published %+v, want the event alone once more", r.published)
	}
	want := []string{shop.String(), topology.Work("", "orders").String(), shop.String()}
	if strings.Join(r.declared, "|") != strings.Join(want, "|") {
		t.Errorf("declared\n%q\nwant\n%q", r.declared, want)
	}
}

func TestEachExchangeIsDeclaredOnce(t *testing.T) {
	t.Parallel()
	r := &recorder{}
	s := job.NewSender(r, "")
	mail := topology.Topology{Exchanges: []topology.Exchange{{Name: "mail", Kind: "fanout"}}}
	sent := job.Define[order]("mail.sent", job.Publish("mail", mail))
	others := job.Define[order]("order.paid", job.Publish("shop", shop))
	for range 3 {
		send(t, s, placed.New(order{}), sent.New(order{}), others.New(order{}), placed.New(order{}))
	}
	if want := []string{shop.String(), mail.String()}; !slices.Equal(r.declared, want) {
		t.Errorf("declared\n%q\nwant\n%q", r.declared, want)
	}
}

func TestUnheardEventIsNotSentForEver(t *testing.T) {
	t.Parallel()
	r := &recorder{publish: func(_ int, ms []broker.Message) error { return unroutable(ms[0]) }}
	err := job.NewSender(r, "").Send(t.Context(), placed.New(order{}, job.Mandatory()))
	if !errors.Is(err, broker.ErrUnroutable) || len(r.published) != 2 {
		t.Errorf("got %v after %d tries, want ErrUnroutable after two", err, len(r.published))
	}
}

// A subscriber's copies go to its queue, and say where the event came from.
func TestWireFormOfCopiesOfAnEvent(t *testing.T) {
	t.Parallel()
	at := time.UnixMilli(1767323045678)
	fresh := placed.New(order{ID: "42"}, job.ID("019b7c8e-0000-7000-8000-000000000000"), job.Key("eu.de"), job.Header("tenant", "blue"))
	fresh.CreatedAt = time.Unix(1767323045, 0)
	retried := fresh.On("audit")
	retried.Attempt, retried.Failure = 2, &job.Failure{Error: "connection refused", At: at}
	dead := fresh.On("audit")
	dead.Failure = &job.Failure{Error: "no such order", At: at, Reason: job.Permanent}
	keyless := fresh.On("audit")
	keyless.Key = ""
	for name, j := range map[string]job.Job{"published": fresh, "retried": retried, "dead": dead, "without-a-key": keyless} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			golden(t, form(j.Message()))
			got, err := job.Parse(j.Message())
			if err != nil || j.Queue != "" && (got.Exchange != "shop" || got.Key != j.Key) {
				t.Errorf("parsed as %+v, %v", got, err)
			}
		})
	}
}

func TestCopiesOfAnEventAreAddressedToTheQueue(t *testing.T) {
	t.Parallel()
	r := &recorder{}
	s := job.NewSender(r, "")
	j := placed.New(order{}, job.Key("eu")).On("audit")
	if j.Published() {
		t.Errorf("%+v is still to be published", j)
	}
	send(t, s, j)
	if err := s.SendAfter(t.Context(), time.Hour, j); err != nil {
		t.Fatal(err)
	}
	if err := s.SendDead(t.Context(), j); err != nil {
		t.Fatal(err)
	}
	path := topology.Route("", "audit", time.Hour)
	for i, want := range []string{"errand.jobs audit", path.Exchange + " " + path.Key, "errand.dead audit"} {
		m := r.published[i][0]
		if got := m.Exchange + " " + m.Key; got != want || m.Optional || m.Headers["errand-exchange"] != "shop" || m.Headers["errand-key"] != "eu" {
			t.Errorf("copy %d: went to %s, optional %v, with headers %v, want %s", i, got, m.Optional, m.Headers, want)
		}
	}
}

func TestHostileAddressesOfEvents(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"errand-exchange", "errand-key"} {
		for _, value := range []any{int64(1), true, []any{"x"}, map[string]any{"x": "y"}} {
			_, err := job.Parse(broker.Message{Type: "ship", Headers: map[string]any{name: value}})
			if !errors.Is(err, job.ErrMalformed) || !strings.Contains(err.Error(), name) {
				t.Errorf("%s %v: got %v, want ErrMalformed with its name", name, value, err)
			}
		}
	}
	j, err := job.Parse(broker.Message{Type: "ship", Headers: map[string]any{"errand-exchange": "elsewhere", "errand-key": strings.Repeat("k", 300)}})
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{}
	send(t, job.NewSender(r, ""), func() job.Job { j.ID = "j"; return j.On("orders") }())
	if m := r.published[0][0]; m.Exchange != "errand.jobs" || m.Key != "orders" {
		t.Errorf("it goes to %q with key %q, want to its queue whatever its headers say", m.Exchange, m.Key)
	}
}
