package worker_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/jobtest"
	"github.com/errandq/errand/topology"
)

// The outcome table under faults: each row of what can happen to a job, under each thing that
// can go wrong around it. What comes of a pair follows from rules, in fault.want; pairs with
// rules of their own have them in the row, with the reason. What holds for all pairs is in
// trial.

// A fault strikes once in a trial.
type fault struct {
	name   string
	effect effect
	// at is the moment of the job's life at which it strikes, for the first time that it comes.
	at     moment
	strike func(tr *trial, h *handed)
	// publishing decides the fate of the n-th sending of a copy of the job.
	publishing func(tr *trial, n int) jobtest.Fault
	takes      time.Duration // until all is well again, at most
}

// An effect is what a fault comes to, whatever causes it.
type effect int

const (
	waits    effect = iota // nothing is different but the time
	doubles                // the first copy exists twice
	loses                  // the delivery is lost, and the job comes again
	deletes                // the queue is deleted with all that is in it
	noCopies               // no copy can be published for a minute
)

const (
	outage = time.Minute
	resent = 20 * time.Second // broker.Conn's patience with a confirm
)

func cut(_ *trial, h *handed) { h.f.Cut() }

func stopAndStart(tr *trial, _ *handed) {
	tr.server.Stop()
	time.AfterFunc(outage, tr.server.Start)
}

func blockAndUnblock(tr *trial, _ *handed) {
	tr.server.Block("memory")
	time.AfterFunc(outage, tr.server.Unblock)
}

// deleteQueue deletes the job's queue. A worker declares its own queue again; for queues of others
// the others do.
func deleteQueue(tr *trial, h *handed) {
	tr.server.DeleteQueue(h.inner.Queue)
	time.AfterFunc(time.Second, tr.declareTheirs)
}

// first is a fault of the first n sendings.
func first(n int, f jobtest.Fault) func(*trial, int) jobtest.Fault {
	return func(_ *trial, i int) jobtest.Fault {
		if i <= n {
			return f
		}
		return jobtest.Fault{}
	}
}

// returned lets nothing through for as long as an outage takes.
func returned(tr *trial, _ int) jobtest.Fault {
	if time.Since(tr.firstCopy) < outage {
		return jobtest.Return()
	}
	return jobtest.Fault{}
}

func faults() []fault {
	all := []fault{
		{name: "none"},
		{name: "confirm lost", effect: doubles, publishing: first(1, jobtest.LoseConfirm()), takes: resent},
		{name: "confirm too late", effect: doubles, publishing: first(1, jobtest.DelayConfirm(resent+time.Second)), takes: resent},
		{name: "confirm delayed", publishing: first(1, jobtest.DelayConfirm(resent-time.Second)), takes: resent},
		{name: "message lost", publishing: first(1, jobtest.LoseMessage()), takes: resent},
		{name: "returned once", publishing: first(1, jobtest.Return())},
		{name: "returned for a minute", effect: noCopies, publishing: returned, takes: outage},
		{name: "refused", publishing: first(10, jobtest.Refuse()), takes: 2 * time.Second},
		{name: "blocked before the copy", at: copying, strike: blockAndUnblock, takes: outage},
		{name: "blocked while it runs", at: running, strike: blockAndUnblock, takes: outage},
	}
	for _, m := range []struct {
		at   moment
		name string
	}{
		{handedOut, "as it is handed out"}, {running, "while it runs"}, {copying, "before the copy"},
		{copied, "after the copy"}, {answering, "before the answer"},
	} {
		all = append(all,
			fault{name: "cut " + m.name, effect: loses, at: m.at, strike: cut, takes: time.Second},
			fault{name: "stopped " + m.name, effect: loses, at: m.at, strike: stopAndStart, takes: outage + time.Second},
			fault{name: "queue deleted " + m.name, effect: deletes, at: m.at, strike: deleteQueue, takes: 2 * time.Second})
	}
	return all
}

// A want is what has to come of a row under a fault.
type want struct {
	runs []int // the attempts, sorted, of all calls of the handler
	end  end
	dead int    // jobs that were put aside
	why  string // it is not what the rules say
}

// An end is where a job is when all is over.
type end string

const (
	done    end = "done"
	dead    end = "put aside"
	dropped end = "dropped" // as it should
	gone    end = "gone"    // with its queue
)

// want is what the rules say, unless the row has its own.
func (f fault) want(r row) want {
	if w, ok := r.but[f.name]; ok {
		return w
	}
	w := want{runs: r.runs, end: r.end, dead: r.dead}
	before, after := r.runs[:r.before], r.runs[r.before:]
	begun := r.runs[:min(1, len(r.runs))]
	switch {
	case f.effect == doubles && r.copies: // what comes of the copy comes of both
		w.runs, w.dead = slices.Concat(before, after, after), 2*r.dead
	case f.effect == noCopies && r.copies: // the server moves the original into the dead-letter queue
		w.runs, w.end, w.dead = before, dead, 1
	case f.effect == loses && r.temporary: // with the connection goes the queue
		w = r.inTemporary(f)
	case f.effect == loses && f.at == running && !r.givesBack: // a run that counts for nothing
		w.runs = slices.Concat(begun, r.runs)
	case f.effect == loses && f.at == copying && r.copies: // the same
		w.runs = slices.Concat(before, r.runs)
	case f.effect == loses && (f.at == copied || f.at == answering) && r.copies: // a duplicate, never a loss
		w.runs, w.dead = slices.Concat(r.runs, r.runs), 2*r.dead
	case f.effect == loses && f.at == answering && !r.givesBack && len(r.runs) > 0: // what is done is done again
		w.runs = slices.Concat(r.runs, r.runs[len(r.runs)-1:])
	case f.effect == deletes:
		w = r.deleted(f, w)
	}
	slices.Sort(w.runs)
	return w
}

// inTemporary is for a queue that dies with its connection: at most once.
func (r row) inTemporary(f fault) want {
	switch {
	case f.at == handedOut:
		return want{end: gone}
	case f.at == running || f.at == answering:
		return want{runs: r.runs, end: gone}
	}
	return want{runs: r.runs, end: r.end}
}

// deleted is for a queue that was deleted: what was in it is gone, copies elsewhere are not.
func (r row) deleted(f fault, otherwise want) want {
	switch {
	case f.at == handedOut:
		return want{end: gone}
	case f.at == running && len(r.runs) > 0:
		return want{runs: r.runs[:1], end: gone}
	case f.at == copying && r.copies:
		return want{runs: r.runs[:r.before], end: gone}
	case f.at == answering && (r.givesBack || r.drops):
		return want{runs: r.runs[:min(1, len(r.runs))], end: gone}
	}
	return otherwise
}

func TestOutcomesUnderFaults(t *testing.T) {
	t.Parallel()
	for _, r := range rows() {
		for _, f := range faults() {
			t.Run(r.name+"/"+f.name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) { try(t, r, f) })
			})
		}
	}
}

// Rules of their own are for pairs that exist.
func TestExceptionsHaveReasons(t *testing.T) {
	t.Parallel()
	known := map[string]bool{}
	for _, f := range faults() {
		known[f.name] = true
	}
	for _, r := range rows() {
		for name, w := range r.but {
			if !known[name] || w.why == "" {
				t.Errorf("row %q has a rule for fault %q with the reason %q, want a fault that exists, and a reason", r.name, name, w.why)
			}
		}
	}
}

// A neighbour that is done while others fail shows that they don't hold it up.
func TestOneBadJobDoesNotStopTheOthers(t *testing.T) {
	t.Parallel()
	for _, r := range rows() {
		if r.temporary || r.stops != 0 || r.name == "delivery lost" || r.crashes > 0 {
			continue // what ends the worker or its connection does hold up others
		}
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				tr := newTrial(t, r, fault{})
				stop := tr.work()
				synctest.Wait()
				for range 3 {
					tr.send()
				}
				began := time.Now()
				tr.sendNeighbour()
				synctest.Wait()
				if n := tr.neighbours.Load(); n != 1 || time.Since(began) > 0 {
					t.Errorf("the neighbour was done %d times after %v, want once and at once", n, time.Since(began))
				}
				tr.settle()
				if err := stop(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// published is how tests publish what is to be worked, past all faults.
func publish(tb testing.TB, b *jobtest.Broker, exchange, key string, m broker.Message) {
	tb.Helper()
	m.Exchange, m.Key = exchange, key
	if err := b.Publish(tb.Context(), m); err != nil {
		tb.Fatal(fmt.Errorf("publish to %q: %w", exchange, err))
	}
}

// theirQueue is a queue that others have made.
func theirQueue(name string) topology.Topology {
	return topology.Topology{Queues: []topology.Queue{{Name: name, Args: map[string]any{"x-queue-type": "quorum"}}}}
}
