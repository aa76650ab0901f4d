package contest

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"
)

func TestJobsAreAsLongAsAsked(t *testing.T) {
	t.Parallel()
	for _, size := range []int{256, 1 << 10, 1 << 20} {
		r := newRound(nil, assignment{Work: Work{Size: size}})
		for range 3 {
			text, err := json.Marshal(r.args())
			if err != nil {
				t.Fatal(err)
			}
			if len(text) != size {
				t.Errorf("got %d bytes, want %d: %.80s", len(text), size, text)
			}
		}
	}
}

func TestReceiptCountsJobs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		spoil   func([]Args) []Args
		problem string
	}{
		{"all", func(a []Args) []Args { return a }, ""},
		{"another order", func(a []Args) []Args { a[0], a[2] = a[2], a[0]; return a }, ""},
		{"one lost", func(a []Args) []Args { return a[1:] }, "2 jobs came, want 3"},
		{"one twice", func(a []Args) []Args { return append(a, a[0]) }, "4 jobs came, want 3"},
		{"one lost and one twice", func(a []Args) []Args { a[0] = a[1]; return a }, "twice"},
		{"not decoded", func(a []Args) []Args { a[0] = Args{}; return a }, "other arguments"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRound(nil, assignment{Work: Work{Size: 256}})
			receipt := r.expect(3)
			for _, a := range c.spoil([]Args{r.args(), r.args(), r.args()}) {
				receipt.handle(a)
			}
			err := receipt.check()
			if c.problem == "" && err != nil || c.problem != "" && (err == nil || !strings.Contains(err.Error(), c.problem)) {
				t.Errorf("got %v, want %q", err, c.problem)
			}
		})
	}
}

func TestQuantiles(t *testing.T) {
	t.Parallel()
	var s stopwatch
	if got := s.times(); got != nil {
		t.Errorf("got %v of nothing, want nil", got)
	}
	for i := range 1000 {
		s.add(time.Duration(1000-i) * time.Millisecond)
	}
	if got, want := *s.times(), (Times{1, 501, 991, 1000, 1000}); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestMediansAndRatios(t *testing.T) {
	t.Parallel()
	a := []Sample{{Rate: 10}, {Rate: 30}, {Rate: 20}}
	b := []Sample{{Rate: 10}, {Rate: 10}, {Rate: 20}}
	if got := median(a, rateOf); got != 20 {
		t.Errorf("got median %v, want 20", got)
	}
	if got := median(a[:2], rateOf); got != 20 {
		t.Errorf("got median %v of two, want their middle 20", got)
	}
	if got := ratio(a, b, rateOf); got != 1 { // of 1, 3, 1
		t.Errorf("got ratio %v, want 1", got)
	}
	if got := ratio(a, nil, rateOf); !math.IsNaN(got) {
		t.Errorf("got ratio %v to nothing, want NaN", got)
	}
}

func TestTable(t *testing.T) {
	t.Parallel()
	row := Row{
		Work: Work{Name: "enqueue", Kind: Enqueue, Jobs: 10, Callers: 64, Size: 256},
		Entries: []Entry{
			{"hand", []Sample{{Jobs: 10, Rate: 1000, CPU: 20, ServerCPU: 40, Bytes: 1000, Allocs: 30, PeakRSS: 14}}},
			{"errand", []Sample{{Jobs: 10, Rate: 1500, CPU: 10, Bytes: 900, Allocs: 31, PeakRSS: 15}}},
		},
	}
	want := `
## enqueue

10 jobs a round, 64 callers, 256 bytes of JSON.

| contender | jobs | jobs/s | rate × | client CPU µs/job | CPU × | server CPU µs/job | B/job | allocs/job | peak RSS MiB |
|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|
| hand | 10 | 1000 | 1.00 | 20.0 | 1.00 | 40.0 | 1000 | 30.0 | 14.0 |
| errand | 10 | 1500 | 1.50 | 10.0 | 0.50 | - | 900 | 31.0 | 15.0 |
`
	if got := row.table(); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	all := []Contender{{Name: "a"}, {Name: "ab"}, {Name: "b"}}
	if got := (Options{Contenders: "a,b"}).among(all); len(got) != 2 || got[0].Name != "a" || got[1].Name != "b" {
		t.Errorf("got %v, want a and b", got)
	}
	if got := (Options{}).among(all); len(got) != 3 {
		t.Errorf("got %v, want all", got)
	}
	for _, w := range (Options{Rows: "callers", Short: true}).works() {
		if !strings.Contains(w.Name, "callers") || w.Jobs > 320 || w.Span > time.Second {
			t.Errorf("got %+v, want only short works of callers", w)
		}
	}
	if got := (Work{Jobs: 30}).share(0.05).Jobs; got != 2 {
		t.Errorf("got %d jobs, want 2", got)
	}
}

func TestProcesses(t *testing.T) {
	t.Parallel()
	before := ownCPU()
	for began := time.Now(); ownCPU() == before; {
		if time.Since(began) > time.Minute {
			t.Fatal("CPU time does not pass")
		}
	}
	if treeCPU(0) != 0 || serverProcess("no such program", "1") != 0 {
		t.Error("got something of a process that does not exist")
	}
}
