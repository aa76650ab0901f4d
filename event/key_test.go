package event_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/errandq/errand/event"
	"github.com/errandq/errand/worker"
)

var routings = []event.Routing{event.Fanout, event.Direct, event.Pattern, event.Headers}

// A rule is what is said of a key that may not be used, or empty.
type keyRules map[event.Routing]string

const (
	emptyKey   = "it is empty"
	emptyWord  = "a word between dots is empty"
	tooLong    = "255"
	noWildcard = "no wildcards"
	wholeWords = "* and # stand for whole words"
)

func TestKeysOfEvents(t *testing.T) {
	t.Parallel()
	tests := []struct {
		key   string
		rules keyRules
	}{
		{"", keyRules{event.Direct: emptyKey, event.Pattern: emptyKey}},
		{"a", nil},
		{"logs.devices.kernel.notice", nil},
		{"größe.€", nil},
		{"with a space and \x00", nil},
		{strings.Repeat("a", 255), nil},
		{strings.Repeat("a", 256), keyRules{event.Fanout: tooLong, event.Direct: tooLong, event.Pattern: tooLong, event.Headers: tooLong}},
		{strings.Repeat("€", 86), keyRules{event.Fanout: tooLong, event.Direct: tooLong, event.Pattern: tooLong, event.Headers: tooLong}},
		{strings.Repeat("a.", 127) + "a", nil},
		{".", keyRules{event.Pattern: emptyWord}},
		{".a", keyRules{event.Pattern: emptyWord}},
		{"a.", keyRules{event.Pattern: emptyWord}},
		{"a..b", keyRules{event.Pattern: emptyWord}},
		{"*", keyRules{event.Pattern: noWildcard}},
		{"#", keyRules{event.Pattern: noWildcard}},
		{"a.*.b", keyRules{event.Pattern: noWildcard}},
		{"a.#", keyRules{event.Pattern: noWildcard}},
		{"a*.#b.**", nil}, // no wildcards: they are not alone
	}
	for _, test := range tests {
		for _, r := range routings {
			topic := event.Define[order]("t", event.Exchange("x", r))
			checkRule(t, "event", r, test.key, topic.New(order{}, event.Key(test.key)).Err(), test.rules[r])
		}
	}
}

func TestKeysOfSubscriptions(t *testing.T) {
	t.Parallel()
	tests := []struct {
		key   string
		rules keyRules
	}{
		{"", keyRules{event.Direct: emptyKey, event.Pattern: emptyKey}},
		{"a.b", nil},
		{"*", nil},
		{"#", nil},
		{"*.critical", nil},
		{"logs.#", nil},
		{"#.#.*", nil},
		{strings.Repeat("*.", 127) + "#", nil},
		{strings.Repeat("#", 256), keyRules{event.Direct: tooLong, event.Pattern: tooLong}},
		{"a..b", keyRules{event.Pattern: emptyWord}},
		{"*.", keyRules{event.Pattern: emptyWord}},
		{"a*", keyRules{event.Pattern: wholeWords}},
		{"**", keyRules{event.Pattern: wholeWords}},
		{"a.#b.c", keyRules{event.Pattern: wholeWords}},
	}
	for _, test := range tests {
		for _, r := range []event.Routing{event.Direct, event.Pattern} {
			topic := event.Define[order]("t", event.Exchange("x", r))
			for name, s := range map[string]event.Subscription{
				"durable":   event.Durable("q", event.On("good"), event.On(test.key)),
				"temporary": event.Temporary(event.On(test.key)),
				"former":    event.Durable("q", event.On("good"), event.Former(event.On(test.key))),
			} {
				checkRule(t, name, r, test.key, subscribeError(t, topic, s), test.rules[r])
			}
		}
	}
}

func checkRule(t *testing.T, of string, r event.Routing, key string, err error, rule string) {
	t.Helper()
	what := of + ", " + string(r) + ", key " + key
	if rule == "" {
		if err != nil {
			t.Errorf("%s: got error %v, want none", what, err)
		}
		return
	}
	checkError(t, what, err, rule, `"t"`)
	if !errors.Is(err, event.ErrInvalid) || len(err.Error()) > 600 {
		t.Errorf("%s: got error %v, want a short one that wraps ErrInvalid", what, err)
	}
}

// subscribeError is what a worker that subscribes to topic says when it starts.
func subscribeError(t *testing.T, topic event.Topic[order], s event.Subscription) error {
	t.Helper()
	w := worker.New(&fakeBroker{}, worker.Config{Logger: quiet})
	event.Subscribe(w, topic, s, nothing)
	ctx := ended(t)
	return w.Run(ctx)
}
