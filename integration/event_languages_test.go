package integration_test

import (
	"bufio"
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/codec"
	"github.com/errandq/errand/event"
	"github.com/errandq/errand/producer"
)

// A tutorial is one of RabbitMQ's about exchanges, with our topic on its exchange.
type tutorial struct {
	routing event.Routing
	keys    []string // of the subscription; none: all
	events  []string // keys
	want    []string // keys of those that come
}

var tutorials = []tutorial{
	{event.Fanout, nil, []string{"", "info"}, []string{"", "info"}},
	{event.Direct, []string{"warning", "error"}, []string{"info", "error", "warning"}, []string{"error", "warning"}},
	{event.Pattern, []string{"kern.*", "*.critical"}, []string{"kern.critical", "cron.info", "kern.info", "a.b.critical", "cron.critical"},
		[]string{"kern.critical", "kern.info", "cron.critical"}},
}

// topic is one of plain text.
func (x tutorial) topic() event.Topic[[]byte] {
	return event.Define[[]byte]("log", event.Exchange("logs_"+string(x.routing), x.routing), event.Codec(codec.Bytes))
}

func (x tutorial) filters() (fs []event.Filter) {
	for _, key := range x.keys {
		fs = append(fs, event.On(key))
	}
	return fs
}

// text is the event with that key: no ASCII, and no JSON.
func text(key string) string { return "größer: {" + key }

// A listener takes what a subscription gets.
type listener struct {
	events chan string // key, a bar, and the text
	ready  chan struct{}
}

func newListener() listener { return listener{make(chan string, 9), make(chan struct{}, 1)} }

func (l listener) hear(ctx context.Context, b []byte) error {
	e, _ := event.From(ctx)
	if e.Key != "probe" {
		l.events <- fmt.Sprint(e.Topic, " ", e.Exchange, " ", e.Key, " ", e.ID != "", " ", string(b))
		return nil
	}
	select {
	case l.ready <- struct{}{}:
	default: // it is known
	}
	return nil
}

// Programs that know nothing of errand publish to the exchanges that it declares.
func TestEventsFromOtherLanguages(t *testing.T) {
	t.Parallel()
	for _, l := range languages() {
		for _, x := range tutorials {
			t.Run(l.name+"/"+string(x.routing), func(t *testing.T) {
				t.Parallel()
				url, exchange := rabbit.URL(t), "logs_"+string(x.routing)
				kept, shown := newListener(), newListener()
				probed := x.filters()
				if probed != nil {
					probed = append(probed, event.On("probe"))
				}
				w := newWorker(dial(t, url), 1)
				event.Subscribe(w, x.topic(), event.Durable("keep", probed...), kept.hear)
				event.Subscribe(w, x.topic(), event.Temporary(probed...), shown.hear)
				start(t, w)
				p := newProducer(t, url)
				eventually(t, "both subscriptions", func() bool {
					publish(t, p, x.topic(), nil, event.Key("probe"))
					return len(kept.ready)+len(shown.ready) == 2
				})
				args := []string{url, exchange, string(x.routing)}
				for _, key := range x.events {
					args = append(args, key, text(key))
				}
				l.run(t, "publish_events", args...)
				for name, c := range map[string]listener{"keep": kept, "show": shown} {
					for _, key := range x.want {
						want := fmt.Sprint("log ", exchange, " ", key, " true ", text(key))
						if got := receive(t, "an event to "+name, c.events); got != want {
							t.Errorf("%s: got %q, want %q", name, got, want)
						}
					}
					if n := len(c.events); n > 0 {
						t.Errorf("%s: got %d events more", name, n)
					}
				}
			})
		}
	}
}

// Programs that know nothing of errand subscribe to the exchanges that it publishes to.
func TestEventsToOtherLanguages(t *testing.T) {
	t.Parallel()
	for _, l := range languages() {
		for _, x := range tutorials {
			t.Run(l.name+"/"+string(x.routing), func(t *testing.T) {
				t.Parallel()
				url, exchange := rabbit.URL(t), "logs_"+string(x.routing)
				// At the program's node, which knows of its bindings when it says that it waits.
				p := producer.New(dialNode(t, url, broker.Config{}), producer.Config{})
				// An event before anybody listens makes the exchange, which is then theirs to find.
				publish(t, p, x.topic(), []byte("unheard"), event.Key("early"))
				lines := l.subscribe(t, url, exchange, string(x.routing), len(x.want), x.keys)
				for i, key := range x.events {
					publish(t, p, x.topic(), []byte(text(key)), event.Key(key), event.ID("id-"+strconv.Itoa(i)))
				}
				for _, key := range x.want {
					want := fmt.Sprintf("%s log id-%d %s", key, slices.Index(x.events, key), text(key))
					if got := receive(t, "a line", lines); got != want {
						t.Errorf("got %q, want %q", got, want)
					}
				}
			})
		}
	}
}

// subscribe runs subscribe_events, which ends after n events, and returns the lines that it
// prints. It comes back when the program is waiting.
func (l language) subscribe(t *testing.T, url, exchange, routing string, n int, keys []string) <-chan string {
	t.Helper()
	if len(keys) == 0 {
		keys = []string{""}
	}
	args := append([]string{"testdata/subscribe_events" + l.extension, url, exchange, routing, strconv.Itoa(n)}, keys...)
	cmd := exec.CommandContext(t.Context(), l.command, args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		l.failed(t, err)
	}
	lines, ended := make(chan string, n+2), make(chan struct{})
	go func() {
		defer close(ended)
		for s := bufio.NewScanner(out); s.Scan(); {
			lines <- s.Text()
		}
		if err := cmd.Wait(); err != nil && t.Context().Err() == nil {
			lines <- fmt.Sprintf("%v: %s", err, &stderr)
		}
	}()
	t.Cleanup(func() { <-ended }) // the test's context, which ends the program, is over by now
	if first := receive(t, "the program's first line", lines); first != "waiting" {
		l.failed(t, fmt.Errorf("subscribe_events: %s", first))
	}
	return lines
}
