package book_test

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/errandq/errand/bench/chaos/book"
	"github.com/errandq/errand/bench/chaos/ledger"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var fates = map[string]book.Fate{"plain": book.Work, "permanent": book.Die, "large": book.Refuse, "sacrifice": book.Risk}

// enter adds what happens to one job.
func enter(b *book.Book, id, kind string, whats ...ledger.What) {
	for _, what := range whats {
		b.Add("child-1", ledger.Event{ID: id, Kind: kind, What: what})
	}
}

const (
	try, kept, unsure, refused = ledger.Try, ledger.Kept, ledger.Unsure, ledger.Refused
	start, done, failed, lost  = ledger.Start, ledger.Done, ledger.Failed, ledger.Lost
)

func TestWhatBecomesOfAJob(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		kind  string
		whats []ledger.What
		dead  int // found dead-lettered so many times
		want  book.Summary
		wrong string
	}{
		{"worked", "plain", []ledger.What{try, kept, start, done}, 0, book.Summary{Enqueued: 1, Worked: 1}, ""},
		{"worked before Enqueue returned", "plain", []ledger.What{try, start, done, kept}, 0, book.Summary{Enqueued: 1, Worked: 1}, ""},
		{"worked again", "plain", []ledger.What{try, kept, start, lost, start, done, start, done}, 0, book.Summary{Enqueued: 1, Worked: 1, Duplicates: 1}, ""},
		{"never started", "plain", []ledger.What{try, kept}, 0, book.Summary{Enqueued: 1, Lost: 1}, "lost"},
		{"never finished", "plain", []ledger.What{try, kept, start, failed, start, lost}, 0, book.Summary{Enqueued: 1, Lost: 1}, "lost"},
		{"crashed too often", "plain", []ledger.What{try, kept, start}, 1, book.Summary{Enqueued: 1, Crashed: 1}, ""},
		{"dead as expected", "permanent", []ledger.What{try, kept, start, failed}, 1, book.Summary{Enqueued: 1, Dead: 1}, ""},
		{"dead twice", "permanent", []ledger.What{try, kept, start, failed}, 2, book.Summary{Enqueued: 1, Dead: 1, Duplicates: 1}, ""},
		{"vanished instead of dead", "permanent", []ledger.What{try, kept, start, failed}, 0, book.Summary{Enqueued: 1, Lost: 1}, "lost"},
		{"unsure and gone", "plain", []ledger.What{try, unsure}, 0, book.Summary{Failed: 1}, ""},
		{"unsure and worked", "plain", []ledger.What{try, unsure, start, done}, 0, book.Summary{Failed: 1, FailedWorked: 1}, ""},
		{"the producer was killed", "plain", []ledger.What{try, start, done}, 0, book.Summary{Failed: 1, FailedWorked: 1}, ""},
		{"Enqueue hung", "plain", []ledger.What{try, ledger.Stuck, unsure}, 0, book.Summary{Failed: 1, Overdue: 1}, "Enqueue that did not return"},
		{"refused", "large", []ledger.What{try, refused}, 0, book.Summary{Failed: 1}, ""},
		{"refused and worked", "plain", []ledger.What{try, refused, start, done}, 0, book.Summary{Failed: 1, RefusedWorked: 1}, "worked although refused"},
		{"kept though it can't be", "large", []ledger.What{try, kept}, 0, book.Summary{Enqueued: 1, Lost: 1}, "lost"},
		{"of nobody", "plain", []ledger.What{start, done}, 0, book.Summary{Unknown: 1}, "unknown"},
		{"risked and gone", "sacrifice", []ledger.What{try, kept}, 0, book.Summary{Risked: 1}, ""},
		{"risked and worked", "sacrifice", []ledger.What{try, kept, start, done}, 0, book.Summary{Risked: 1, RiskedWorked: 1}, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := book.New(fates)
			enter(b, "x", test.kind, test.whats...)
			for range test.dead {
				b.Dead("x", "reason")
			}
			got := b.Sum()
			var want []string
			if test.wrong != "" {
				want = []string{test.wrong}
			}
			if wrong := got.Reasons(); !slices.Equal(wrong, want) {
				t.Errorf("got %q wrong, want %q", wrong, want)
			}
			got.LostIDs, got.RefusedIDs, got.Errors, got.Calls = nil, nil, nil, book.Calls{}
			if !reflect.DeepEqual(got, test.want) {
				t.Errorf("got  %+v\nwant %+v", got, test.want)
			}
		})
	}
}

func TestJobLeftInAQueueIsLost(t *testing.T) {
	t.Parallel()
	b := book.New(fates)
	enter(b, "x", "plain", try, kept)
	b.Left("x", "errand.delay.10")
	if got := b.Sum(); got.Lost != 1 || got.Left != 1 {
		t.Errorf("got %d lost, %d left, want 1 and 1", got.Lost, got.Left)
	}
}

func TestEarly(t *testing.T) {
	t.Parallel()
	b := book.New(fates)
	enter(b, "x", "plain", try, kept)
	b.Add("worker-1", ledger.Event{ID: "x", Kind: "plain", What: start, Early: true})
	enter(b, "x", "plain", start, done)
	if got := b.Sum(); got.Early != 1 {
		t.Errorf("got %d early, want 1", got.Early)
	}
}

func TestCalls(t *testing.T) {
	t.Parallel()
	b := book.New(fates)
	enter(b, "right", "", ledger.Call, ledger.Answer, ledger.Answer, ledger.Right)
	enter(b, "wrong", "", ledger.Call, ledger.Answer, ledger.Wrong)
	enter(b, "failed", "", ledger.Call, ledger.Error)
	enter(b, "hung", "", ledger.Call, ledger.Hung)
	enter(b, "died", "", ledger.Call)
	enter(b, "twice", book.Once, ledger.Call, ledger.Answer, ledger.Answer, ledger.Right)
	got := b.Sum()
	got.Calls.Failures = nil
	want := book.Calls{Made: 6, Right: 2, Wrong: 1, Failed: 1, Hung: 1, Died: 1, Twice: 1}
	if !reflect.DeepEqual(got.Calls, want) {
		t.Errorf("got %+v, want %+v", got.Calls, want)
	}
	if n := len(got.Reasons()); n != 3 {
		t.Errorf("got %q wrong, want wrong, hung and twice", got.Reasons())
	}
}

// at is an event so many seconds after the beginning, about a job of another second.
func at(seconds, sent int64, what ledger.What, kind string) ledger.Event {
	return ledger.Event{At: seconds * 1e9, Sent: sent * 1e9, What: what, Kind: kind, ID: "x"}
}

func TestRecovery(t *testing.T) {
	t.Parallel()
	b := book.New(fates)
	w := b.Watch("cut", false, time.Unix(10, 0), "worker-1", "producer-1")
	own := b.Watch("deleted", true, time.Unix(10, 0), book.OfKind("sacrifice"))
	over := func(w *book.Watch) bool {
		select {
		case <-w.Done():
			return true
		default:
			return false
		}
	}
	for _, step := range []struct {
		name      string
		child     string
		e         ledger.Event
		cut, gone bool // over after this step
	}{
		{"a job from before the fault", "worker-1", at(12, 9, start, "plain"), false, false},
		{"another worker", "worker-2", at(13, 12, start, "plain"), false, false},
		{"an end tells nothing", "worker-1", at(13, 12, done, "plain"), false, false},
		{"another queue tells nothing", "worker-1", at(13, 12, start, "sacrifice"), false, true},
		{"the worker", "worker-1", at(14, 12, start, "plain"), false, true},
		{"an error tells nothing", "producer-1", at(14, 12, refused, "plain"), false, true},
		{"the producer", "producer-1", at(15, 15, kept, "plain"), true, true},
	} {
		b.Add(step.child, step.e)
		if over(w) != step.cut || over(own) != step.gone {
			t.Fatalf("after %s: got %v and %v over, want %v and %v", step.name, over(w), over(own), step.cut, step.gone)
		}
	}
	want := []book.Recovery{
		{Fault: "cut", Alone: book.Times{N: 1, Median: 5 * time.Second, Slowest: 5 * time.Second}},
		{Fault: "deleted", Mixed: book.Times{N: 1, Median: 3 * time.Second, Slowest: 3 * time.Second}},
	}
	if got := b.Sum(); !slices.Equal(got.Recoveries, want) || len(got.Stuck) > 0 {
		t.Errorf("got %+v, stuck %q, want %+v", got.Recoveries, got.Stuck, want)
	}
}

func TestWhatNeverRecoversIsWrong(t *testing.T) {
	t.Parallel()
	b := book.New(fates)
	b.Watch("cut", false, time.Unix(10, 0), "worker-1")
	got := b.Sum()
	if want := []string{"cut: worker-1"}; !slices.Equal(got.Stuck, want) || len(got.Reasons()) != 1 {
		t.Errorf("got %q stuck, %q wrong, want %q", got.Stuck, got.Reasons(), want)
	}
}

func TestLongestTimeWithoutProgress(t *testing.T) {
	t.Parallel()
	b := book.New(fates)
	b.Add("worker-1", at(1, 0, done, "plain")) // before it counts
	b.Produce(time.Unix(100, 0), true)
	b.Add("worker-1", at(102, 0, done, "plain"))
	b.Add("worker-1", at(107, 0, done, "sacrifice")) // is no progress
	b.Add("worker-2", at(109, 0, done, "plain"))
	b.Add("worker-1", at(108, 0, done, "plain")) // read late
	b.Produce(time.Unix(112, 0), false)
	b.Add("worker-1", at(200, 0, done, "plain"))
	if got := b.Sum(); got.Gap != 7*time.Second || got.GapAt.Unix() != 102 {
		t.Errorf("got %v from %d, want 7s from 102", got.Gap, got.GapAt.Unix())
	}
}

func TestOpen(t *testing.T) {
	t.Parallel()
	b := book.New(fates)
	enter(b, "a", "plain", try, kept)
	enter(b, "b", "plain", try, unsure)
	enter(b, "c", "permanent", try, kept)
	if n := b.Open(); n != 1 {
		t.Errorf("got %d open, want 1", n)
	}
	enter(b, "a", "plain", start, done)
	if n := b.Open(); n != 0 {
		t.Errorf("got %d open, want 0", n)
	}
}
