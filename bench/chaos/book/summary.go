package book

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"
)

// A Summary is what became of everything.
type Summary struct {
	Enqueued uint64 // Enqueue returned nil; without the kind at Risk
	Worked   uint64 // of those, to the end at least once
	Dead     uint64 // of those, dead-lettered as expected
	Crashed  uint64 // of those, dead-lettered although they should be worked: not lost
	Lost     uint64 // of those, none of these; has to be 0
	LostIDs  []string
	Left     uint64 // found in a queue where nobody has looked for it; part of Lost

	Failed        uint64 // Enqueue returned an error, or did not return because it was killed
	FailedWorked  uint64 // and the job was worked all the same, which it may
	RefusedWorked uint64 // and the error said that it would not; has to be 0
	RefusedIDs    []string
	Overdue       uint64 // Enqueue did not return, long after its deadline; has to be 0

	Duplicates uint64 // runs to the end, and dead letters, beyond the first of each job
	Early      uint64 // jobs that were started before their time; has to be 0
	Unknown    uint64 // jobs that nobody has sent; has to be 0

	Risked, RiskedWorked uint64 // jobs whose queue was deleted now and then

	Calls Calls

	Gap   time.Duration // the longest time in which no job was worked to the end
	GapAt time.Time

	Recoveries []Recovery
	Errors     []string // what was said, the most frequent first
	Stuck      []string // what a fault has hit and what never worked again; has to be empty
}

// A Recovery is how the faults of one kind were got over.
type Recovery struct {
	Fault        string
	Alone, Mixed Times
}

// Times are how often that was, and how long it took.
type Times struct {
	N               int
	Median, Slowest time.Duration
}

func timesOf(ds []time.Duration) Times {
	if len(ds) == 0 {
		return Times{}
	}
	slices.Sort(ds)
	return Times{len(ds), ds[len(ds)/2], ds[len(ds)-1]}
}

// Reasons says what is wrong with s, or nothing.
func (s *Summary) Reasons() (wrong []string) {
	for _, row := range []struct {
		name string
		n    uint64
	}{
		{"lost", s.Lost}, {"worked although refused", s.RefusedWorked}, {"Enqueue that did not return", s.Overdue}, {"started early", s.Early},
		{"unknown", s.Unknown}, {"calls with a wrong answer", s.Calls.Wrong},
		{"calls that hung", s.Calls.Hung}, {"calls run twice that must not be", s.Calls.Twice},
		{"not recovered", uint64(len(s.Stuck))},
	} {
		if row.n > 0 {
			wrong = append(wrong, row.name)
		}
	}
	return wrong
}

// Sum closes the account.
func (b *Book) Sum() Summary {
	stuck := b.Missing()
	b.mu.Lock()
	defer b.mu.Unlock()
	s := Summary{Calls: b.countCalls(), Gap: b.gap.longest, GapAt: b.gap.at, Stuck: stuck}
	for id, j := range b.jobs {
		s.add(id, j, b.fates[j.kind])
	}
	slices.Sort(s.LostIDs)
	slices.Sort(s.RefusedIDs)
	s.Recoveries = recoveries(b.watches)
	for _, text := range slices.SortedFunc(maps.Keys(b.errors), func(x, y string) int { return cmp.Compare(b.errors[y], b.errors[x]) }) {
		if strings.HasPrefix(text, "enqueue: ") {
			s.Errors = append(s.Errors, text)
		}
	}
	return s
}

func (s *Summary) add(id string, j *job, fate Fate) {
	s.Duplicates += uint64(max(j.done-1, 0) + max(j.dead-1, 0))
	if j.early {
		s.Early++
	}
	if j.stuck {
		s.Overdue++
	}
	switch {
	case !j.tried:
		s.Unknown++
	case j.refused && j.starts > 0:
		s.Failed++
		s.RefusedWorked++
		s.RefusedIDs = append(s.RefusedIDs, id+": "+j.refusal)
	case !j.kept:
		s.Failed++
		if j.starts > 0 {
			s.FailedWorked++
		}
	case fate == Risk:
		s.Risked++
		if j.done > 0 {
			s.RiskedWorked++
		}
	default:
		s.addKept(id, j, fate)
	}
}

func (s *Summary) addKept(id string, j *job, fate Fate) {
	s.Enqueued++
	switch {
	case j.done > 0:
		s.Worked++
	case j.dead > 0 && fate == Die:
		s.Dead++
	case j.dead > 0:
		s.Crashed++
	default:
		s.Lost++
		text := j.lost(id)
		if j.left != "" {
			s.Left++
			text += ", left in " + j.left
		}
		s.LostIDs = append(s.LostIDs, text)
	}
}

// recoveries sums up by fault, the slowest first.
func recoveries(watches []*Watch) (all []Recovery) {
	took := map[string]*[2][]time.Duration{} // alone, mixed
	for _, w := range watches {
		if len(w.missing) > 0 || w.Fault == "" {
			continue
		}
		if took[w.Fault] == nil {
			took[w.Fault] = &[2][]time.Duration{}
		}
		ds := &took[w.Fault][0]
		if w.Mixed {
			ds = &took[w.Fault][1]
		}
		*ds = append(*ds, w.took)
	}
	for fault, ds := range took {
		all = append(all, Recovery{fault, timesOf(ds[0]), timesOf(ds[1])})
	}
	slices.SortFunc(all, func(x, y Recovery) int {
		return cmp.Or(cmp.Compare(y.Alone.Slowest, x.Alone.Slowest), cmp.Compare(x.Fault, y.Fault))
	})
	return all
}
