package event_test

import (
	"context"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/codec"
	"github.com/errandq/errand/event"
	"github.com/errandq/errand/job"
	"github.com/errandq/errand/producer"
	"github.com/errandq/errand/topology"
	"github.com/errandq/errand/worker"
)

// ended is a context that is over: a worker that starts well with it ends at once.
func ended(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

// What is wrong with a topic is said when it is published, and when a worker subscribes to it.
func TestMistakesInTopics(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 256)
	tests := []struct {
		name  string
		topic event.Topic[order]
		want  string
	}{
		{"zero", event.Topic[order]{}, "the zero Topic: use event.Define"},
		{"no name", event.Define[order](""), "empty"},
		{"no name but an exchange", event.Define[order]("", event.Exchange("x", event.Fanout)), "name is empty"},
		{"long name", event.Define[order](long, event.Exchange("x", event.Fanout)), "256 bytes long, at most 255"},
		{"control character", event.Define[order]("a\nb"), "control characters are not allowed"},
		{"exchange without a name", event.Define[order]("t", event.Exchange("", event.Direct)), "an exchange's name is empty"},
		{"exchange of a long name", event.Define[order]("t", event.Exchange(long, event.Direct)), "256 bytes, at most 255"},
		{"exchange not in UTF-8", event.Define[order]("t", event.Exchange("\xff", event.Direct)), "not valid UTF-8"},
		{"exchange of RabbitMQ", event.Define[order]("t", event.Exchange("amq.topic", event.Pattern)), "amq. or errand. are reserved"},
		{"exchange of errand", event.Define[order]("t", event.Exchange("errand.jobs", event.Direct)), "amq. or errand. are reserved"},
		{"topic named like an exchange of errand", event.Define[order]("errand.due"), "amq. or errand. are reserved"},
		{"no routing", event.Define[order]("t", event.Exchange("x", "")), `there is no routing ""`},
		{"unknown routing", event.Define[order]("t", event.Exchange("x", "x-delayed-message")), `there is no routing "x-delayed-message"`},
		{"existing without a name", event.Define[order]("t", event.Exchange("", event.Fanout), event.Existing()), "1 to 255 bytes"},
		{"existing of a long name", event.Define[order]("t", event.Exchange(long, event.Fanout), event.Existing()), "1 to 255 bytes"},
		{"nil codec", event.Define[order]("t", event.Codec(nil)), "the codec is nil"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := &fakeBroker{}
			err := test.topic.Publish(t.Context(), producer.New(f, producer.Config{}), order{})
			checkError(t, "Publish", err, test.want, "event: publish: ")
			if !errors.Is(err, event.ErrInvalid) || len(f.published) > 0 {
				t.Errorf("Publish: got %v and %d messages, want ErrInvalid and none", err, len(f.published))
			}
			err = subscribeError(t, test.topic, event.Durable("q"))
			checkError(t, "Run", err, test.want)
			if !errors.Is(err, event.ErrInvalid) {
				t.Errorf("Run: got %v, want ErrInvalid", err)
			}
		})
	}
	if got := (event.Topic[order]{}).Name(); got != "" {
		t.Errorf("the zero Topic has the name %q, want none", got)
	}
}

func TestMistakesInEvents(t *testing.T) {
	t.Parallel()
	topic := event.Define[order]("t")
	tests := []struct {
		name   string
		option event.PublishOption
		want   string
	}{
		{"no ID", event.ID(""), "an ID of 0 bytes"},
		{"long ID", event.ID(strings.Repeat("x", 256)), "an ID of 256 bytes"},
		{"header of errand", event.Header("errand-attempt", 2), "reserved"},
		{"header of RabbitMQ", event.Header("x-death", nil), "reserved"},
		{"carbon copy", event.Header("CC", []any{"elsewhere"}), "reserved"},
	}
	for _, test := range tests {
		err := topic.New(order{}, test.option).Err()
		checkError(t, test.name, err, test.want)
		if !errors.Is(err, event.ErrInvalid) {
			t.Errorf("%s: got %v, want ErrInvalid", test.name, err)
		}
	}
	if err := event.Define[func()]("f").New(nil).Err(); !errors.Is(err, event.ErrInvalid) {
		t.Errorf("a value that does not encode: got %v, want ErrInvalid", err)
	}
}

// One event that is invalid keeps the whole call from being sent.
func TestNothingIsSentOfACallWithAMistake(t *testing.T) {
	t.Parallel()
	f := &fakeBroker{}
	good, bad := event.Define[order]("good"), event.Define[order]("bad", event.Exchange("x", event.Direct))
	err := producer.New(f, producer.Config{}).Enqueue(t.Context(), good.New(order{}), bad.New(order{}))
	checkError(t, "Enqueue", err, "job 2 of 2", emptyKey)
	if len(f.published) > 0 || !f.declared.IsZero() {
		t.Errorf("got %v published and\n%sdeclared, want nothing", f.published, f.declared)
	}
}

func TestEventOnTheWire(t *testing.T) {
	t.Parallel()
	topic := event.Define[order]("order.placed", event.Exchange("shop", event.Pattern))
	f := &fakeBroker{}
	p := producer.New(f, producer.Config{AppID: "till"})
	err := topic.Publish(t.Context(), p, order{"42"}, event.Key("eu.de"), event.Header("tenant", "acme"), event.ID("row-42"))
	if err != nil {
		t.Fatal(err)
	}
	m := f.sent(t)
	if m.Exchange != "shop" || m.Key != "eu.de" || m.ID != "row-42" || m.Type != "order.placed" || !m.Optional || m.Transient {
		t.Errorf("got %+v, want it addressed to shop and eu.de, optional and persistent", m)
	}
	if m.AppID != "till" || m.ContentType != "application/json" || string(m.Body) != `{"id":"42"}` || time.Since(m.Timestamp) > time.Minute {
		t.Errorf("got %+v, want app, content type, body and the time", m)
	}
	if want := map[string]any{"tenant": "acme"}; !maps.Equal(m.Headers, want) {
		t.Errorf("got headers %v, want %v: others need know nothing of errand's", m.Headers, want)
	}
	if got, want := f.declared.String(), "exchange shop topic\n"; got != want {
		t.Errorf("declared\n%swant\n%s", got, want)
	}
	if topic.Name() != "order.placed" {
		t.Errorf("got name %q", topic.Name())
	}
}

func TestDefaultsOfATopic(t *testing.T) {
	t.Parallel()
	f := &fakeBroker{}
	if err := event.Define[order]("order.placed").Publish(t.Context(), producer.New(f, producer.Config{}), order{}); err != nil {
		t.Fatal(err)
	}
	m := f.sent(t)
	if m.Exchange != "order.placed" || m.Key != "" || m.ID == "" {
		t.Errorf("got %+v, want a new ID and no key, to the exchange of the topic's name", m)
	}
	if got, want := f.declared.String(), "exchange order.placed fanout\n"; got != want {
		t.Errorf("declared\n%swant\n%s", got, want)
	}
}

func TestMandatory(t *testing.T) {
	t.Parallel()
	f := &fakeBroker{}
	topic := event.Define[order]("t")
	if err := topic.Publish(t.Context(), producer.New(f, producer.Config{}), order{}, event.Mandatory()); err != nil {
		t.Fatal(err)
	}
	if m := f.sent(t); m.Optional {
		t.Errorf("got %+v, want it not optional", m)
	}
	if event.ErrUnmatched != broker.ErrUnroutable {
		t.Error("ErrUnmatched is not the broker's ErrUnroutable")
	}
}

func TestExistingExchange(t *testing.T) {
	t.Parallel()
	f := &fakeBroker{}
	topic := event.Define[order]("t", event.Exchange("amq.topic", event.Pattern), event.Existing())
	if err := topic.Publish(t.Context(), producer.New(f, producer.Config{}), order{}, event.Key("k")); err != nil {
		t.Fatal(err)
	}
	if m := f.sent(t); m.Exchange != "amq.topic" || !f.declared.IsZero() {
		t.Errorf("sent to %q, with\n%sdeclared, want amq.topic and nothing", m.Exchange, f.declared)
	}
	subs := runBriefly(t, func(w *worker.Worker) {
		event.Subscribe(w, topic, event.Temporary(event.On("#")), nothing)
	})
	if got, want := subs[0].Topology.String(), "bind amq.topic \"#\" -> queue \n"; got != want {
		t.Errorf("declared\n%swant\n%s", got, want)
	}
}

func TestCodecOfATopic(t *testing.T) {
	t.Parallel()
	topic := event.Define[[]byte]("raw", event.Codec(codec.Bytes))
	j := topic.New([]byte("as it is"))
	if string(j.Body) != "as it is" || j.Err() != nil {
		t.Errorf("got body %q, %v, want it as it is", j.Body, j.Err())
	}
	got := make(chan string, 1)
	m := j.Message()
	m.Exchange = "raw"
	deliver(t, m, func(w *worker.Worker) {
		event.Subscribe(w, topic, event.Durable("q"), func(_ context.Context, b []byte) error {
			got <- string(b)
			return nil
		})
	})
	if s := <-got; s != "as it is" {
		t.Errorf("the subscriber got %q, want it as it is", s)
	}
}

// Two topics on one exchange, and jobs beside them, go out in one call.
func TestSeveralTopicsInOneCall(t *testing.T) {
	t.Parallel()
	f := &fakeBroker{}
	placed := event.Define[order]("placed", event.Exchange("shop", event.Direct))
	paid := event.Define[order]("paid", event.Exchange("shop", event.Direct))
	ship := job.Define[order]("ship", job.Queue("ship"))
	p := producer.New(f, producer.Config{})
	if err := p.Enqueue(t.Context(), placed.New(order{}, event.Key("eu")), ship.New(order{}), paid.New(order{}, event.Key("us"))); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range f.published {
		got = append(got, m.Type+" "+m.Exchange+" "+m.Key)
	}
	if want := "placed shop eu, ship errand.jobs ship, paid shop us"; strings.Join(got, ", ") != want {
		t.Errorf("published %v, want %s", got, want)
	}
	if want := "exchange shop direct\n" + topology.Work("", "ship").String(); !strings.HasPrefix(f.declared.String(), "exchange shop direct\n") || topology.Join(f.declared, topology.Work("", "ship")).String() != f.declared.String() {
		t.Errorf("declared\n%swant\n%s", f.declared, want)
	}
}
