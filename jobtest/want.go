package jobtest

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/errandq/errand/job"
)

// WantEnqueued fails the test unless the jobs of kind k in b, as [Enqueued] finds them, have
// exactly these arguments, in this order. It says what is there instead, and what comes near.
func WantEnqueued[T any](tb testing.TB, b *Broker, k job.Kind[T], want ...T) {
	tb.Helper()
	compare(tb, b, "enqueued", k, Enqueued(tb, b, k), want)
}

// WantDead is [WantEnqueued] for the jobs that were put aside, as [Dead] finds them.
func WantDead[T any](tb testing.TB, b *Broker, k job.Kind[T], want ...T) {
	tb.Helper()
	compare(tb, b, "put aside", k, Dead(tb, b, k), want)
}

func compare[T any](tb testing.TB, b *Broker, how string, k job.Kind[T], got []Found[T], want []T) {
	tb.Helper()
	same := len(got) == len(want)
	for i := 0; same && i < len(got); i++ {
		same = reflect.DeepEqual(got[i].Args, want[i])
	}
	if same {
		return
	}
	var text strings.Builder
	fmt.Fprintf(&text, "jobs of kind %q %s:\n", k.Name(), how)
	for _, w := range want {
		fmt.Fprintf(&text, "  want %s\n", inJSON(w))
	}
	if len(want) == 0 {
		fmt.Fprintln(&text, "  want none")
	}
	for _, g := range got {
		fmt.Fprintf(&text, "  got  %s\n", inJSON(g.Args))
	}
	if len(got) == 0 {
		fmt.Fprintln(&text, "  got  none")
	}
	for _, hint := range hints(b, k, got, want) {
		fmt.Fprintf(&text, "  %s\n", hint)
	}
	tb.Error(strings.TrimSuffix(text.String(), "\n"))
}

// hints are what may explain the difference: what is missing and what is too much, what nearly
// matches, and jobs elsewhere.
func hints[T any](b *Broker, k job.Kind[T], got []Found[T], want []T) (all []string) {
	missing, extra := unmatched(got, want)
	switch {
	case len(got) == 0 || len(want) == 0: // there is no more to say
	case len(missing) == 0 && len(extra) == 0:
		all = append(all, "the same jobs in another order")
	case len(missing) == len(extra):
		for i, w := range missing {
			all = append(all, nearly(extra[i], got, w)...)
		}
	default:
		for _, w := range missing {
			all = append(all, "missing: "+inJSON(w))
		}
		for _, i := range extra {
			all = append(all, "not wanted: "+inJSON(got[i].Args))
		}
	}
	if len(missing) == 0 {
		return all // what is elsewhere is not missed here
	}
	for _, s := range b.stored(func(string) bool { return true }) {
		if inPlace := slices.ContainsFunc(got, func(g Found[T]) bool { return g.ID == s.message.ID && g.Queue == s.job().Queue }); !inPlace {
			all = append(all, "also in the broker: "+s.text())
		}
	}
	return all[:min(len(all), mostHints)]
}

// mostHints keeps the text of a failure readable.
const mostHints = 20

// unmatched returns what of want has no equal in got, and the places in got of what has none in
// want.
func unmatched[T any](got []Found[T], want []T) (missing []T, extra []int) {
	for i := range got {
		extra = append(extra, i)
	}
	for _, w := range want {
		at := slices.IndexFunc(extra, func(i int) bool { return reflect.DeepEqual(got[i].Args, w) })
		if at < 0 {
			missing = append(missing, w)
			continue
		}
		extra = slices.Delete(extra, at, at+1)
	}
	return missing, extra
}

// nearly says in which fields the job at place i differs from what was wanted.
func nearly[T any](i int, got []Found[T], want T) (all []string) {
	for _, d := range differences(inJSON(want), inJSON(got[i].Args)) {
		all = append(all, fmt.Sprintf("job %d: %s", i+1, d))
	}
	return all
}

func inJSON(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprintf("%+v", v) // its codec is not JSON
	}
	return string(text)
}

// differences compares two JSON objects field by field. Of anything else it says nothing.
func differences(want, got string) (all []string) {
	var w, g map[string]any
	if json.Unmarshal([]byte(want), &w) != nil || json.Unmarshal([]byte(got), &g) != nil {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(w)) {
		value := w[name]
		if !reflect.DeepEqual(value, g[name]) {
			all = append(all, fmt.Sprintf("%s is %s, want %s", name, inJSON(g[name]), inJSON(value)))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(g)) {
		value := g[name]
		if _, wanted := w[name]; !wanted {
			all = append(all, fmt.Sprintf("%s is %s, want none", name, inJSON(value)))
		}
	}
	return all
}
