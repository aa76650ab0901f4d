package worker_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/job"
	"github.com/errandq/errand/jobtest"
	"github.com/errandq/errand/retry"
	"github.com/errandq/errand/topology"
	"github.com/errandq/errand/worker"
)

// A trial is one row under one fault. It watches what must hold whatever happens.
type trial struct {
	t      *testing.T
	row    row
	fault  fault
	server *jobtest.Broker
	kind   job.Kind[args]
	sent   broker.Message

	second     atomic.Bool // the row's handler, or its worker, is no longer the first
	neighbours atomic.Int64

	mu        sync.Mutex
	struck    bool
	crashes   int // to come
	stopping  bool
	stop      chan struct{} // closed when the worker has to shut down
	copies    int           // sendings
	firstCopy time.Time
	given     map[int]time.Time // when an attempt was over, first; by attempt
	began     []int             // attempts
	handlers  int               // that run
	dropped   int               // deliveries
	done      int               // handlers that returned nil while the job was theirs
}

// IDs of jobs.
const (
	subject = "subject" // the one in question
	earlier = "earlier"
)

// longestDelay is that of the row that waits longest.
const longestDelay = 20 * time.Minute

// A handler may run for timeout, and may ignore that for the grace.
const (
	timeout  = time.Minute
	patience = timeout + worker.DefaultGrace
)

// Arguments of jobs that are not in question.
const (
	neighbour = 99 // only shows that the worker works
	failing   = 98 // fails once
)

func newTrial(t *testing.T, r row, f fault) *trial {
	t.Helper()
	tr := &trial{t: t, row: r, fault: f, server: jobtest.NewBroker(t), kind: render, crashes: r.crashes, stop: make(chan struct{}), given: map[int]time.Time{}}
	if r.kind.Name() != "" {
		tr.kind = r.kind
	}
	tr.declareTheirs()
	tr.server.Inject(tr.inject)
	return tr
}

// declareTheirs declares what is not the worker's to declare.
func (tr *trial) declareTheirs() {
	if err := tr.server.Declare(tr.t.Context(), theirQueue(foreign.Queue())); err != nil && !errors.Is(err, broker.ErrNotConnected) {
		tr.t.Error(err)
	}
}

// try makes a trial.
func try(t *testing.T, r row, f fault) {
	tr := newTrial(t, r, f)
	ended := tr.work()
	tr.warmUp()
	tr.send()
	if r.stops != 0 {
		ended = tr.change(ended)
	}
	tr.settle()
	tr.check()
	tr.sendNeighbour()
	time.Sleep(2 * time.Second)
	if n := tr.neighbours.Load(); n != 1 {
		t.Errorf("a job that comes later was done %d times, want once", n)
	}
	if err := ended(); err != nil {
		t.Errorf("Run: %v", err)
	}
}

// work starts a worker on a connection of its own.
func (tr *trial) work() (stop func() error) {
	f := watchedOn(tr.t, tr.server)
	f.at = tr.moment
	w := worker.New(f, worker.Config{Logger: quiet, Retry: retry.Steps{retryDelay}, Timeout: timeout})
	worker.Handle(w, tr.kind, tr.handle)
	end := start(tr.t, w)
	return func() error {
		began := time.Now()
		err := end()
		if took := time.Since(began); took > worker.DefaultGrace {
			tr.t.Errorf("shutdown took %v, want at most the grace", took)
		}
		if n := w.Stats().Running; n != 0 {
			tr.t.Errorf("%d handlers run at the end, want none", n)
		}
		return err
	}
}

// change has the worker shut down at its moment, and then starts another one.
func (tr *trial) change(ended func() error) func() error {
	next := make(chan func() error, 1)
	over := make(chan struct{})
	go func() {
		select {
		case <-tr.stop:
		case <-over: // the moment never came
			next <- ended
			return
		}
		if err := ended(); err != nil {
			tr.t.Errorf("Run of the first worker: %v", err)
		}
		tr.second.Store(true)
		next <- tr.work()
	}()
	return func() error {
		close(over)
		return (<-next)()
	}
}

// send publishes the job, or its event.
func (tr *trial) send() {
	tr.t.Helper()
	m := tr.kind.New(args{N: 1}, job.ID(subject)).Message()
	if tr.row.wire != nil {
		tr.row.wire(&m)
	}
	tr.sent = m
	tr.publish(m)
}

// warmUp has the worker fail a job before, so that it has declared all that copies need. What
// keeps it from publishing must not be that it can't declare.
func (tr *trial) warmUp() {
	tr.t.Helper()
	synctest.Wait()
	tr.publish(tr.kind.New(args{N: failing}, job.ID(earlier)).Message())
	time.Sleep(2 * longestDelay)
	synctest.Wait()
}

func (tr *trial) sendNeighbour() {
	tr.t.Helper()
	tr.publish(tr.kind.New(args{N: neighbour}).Message())
}

func (tr *trial) publish(m broker.Message) {
	tr.t.Helper()
	exchange, key := "", tr.kind.Queue() // straight to it
	if tr.row.temporary {
		exchange = "news"
	}
	publish(tr.t, tr.server, exchange, key, m)
}

// settle waits until nothing more can happen to the job.
func (tr *trial) settle() {
	most := 3*cmp.Or(tr.row.takes, 20*time.Second) + tr.fault.takes
	for began := time.Now(); time.Since(began) < most; {
		time.Sleep(time.Second)
		synctest.Wait()
		if tr.atRest() {
			time.Sleep(tr.fault.takes) // it may have struck at the end, or not at all
			return
		}
	}
	tr.t.Errorf("after %v it is not over", most)
}

// delayed reports whether the delivery has come by the delay ladder.
func (h *handed) delayed() bool {
	return h.Exchange != "" && topology.Namespace("").Owns(h.Exchange) // trials publish straight to the queue
}

// atRest reports whether the job is neither waiting nor worked.
func (tr *trial) atRest() bool {
	tr.mu.Lock()
	handlers := tr.handlers
	tr.mu.Unlock()
	return handlers == 0 && len(jobtest.Enqueued(tr.t, tr.server, tr.raw())) == 0
}

// raw is the kind of the job for those who don't want to decode it.
func (tr *trial) raw() job.Kind[json.RawMessage] {
	return job.Define[json.RawMessage](tr.sent.Type, job.Queue("raw"))
}

// inject is the fate of what is published.
func (tr *trial) inject(p jobtest.Publishing) jobtest.Fault {
	tr.mu.Lock()
	if tr.firstCopy.IsZero() || p.Message.ID != subject {
		tr.mu.Unlock()
		return jobtest.Fault{}
	}
	tr.copies++
	n := tr.copies
	tr.mu.Unlock()
	if tr.fault.publishing == nil {
		return jobtest.Fault{}
	}
	return tr.fault.publishing(tr, n)
}

// moment lets the fault strike, and looks at what the worker does.
func (tr *trial) moment(at moment, h *handed) {
	if h.ID != subject {
		return
	}
	switch at {
	case handedOut:
		if tr.crash() {
			h.f.Cut()
			return
		}
	case copying:
		tr.checkCopy(h)
	case answering:
		tr.checkAnswer(h)
	case answered:
		tr.drop(h)
	}
	tr.mu.Lock()
	strikes := tr.fault.strike != nil && at == tr.fault.at && !tr.struck
	tr.struck = tr.struck || strikes
	if at == tr.row.stops && !tr.stopping {
		tr.stopping = true
		close(tr.stop)
	}
	tr.mu.Unlock()
	if strikes {
		tr.fault.strike(tr, h)
	}
}

// drop counts what was acked and nothing else.
func (tr *trial) drop(h *handed) {
	h.f.mu.Lock()
	drops := h.verdict == broker.Acked && !h.done && !h.confirmed
	h.f.mu.Unlock()
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if drops {
		tr.dropped++
	}
}

// crash takes one of the crashes that the job has to go through before the trial.
func (tr *trial) crash() bool {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.crashes--
	return tr.crashes >= 0
}

// handle is the handler of all rows.
func (tr *trial) handle(ctx context.Context, a args) error {
	j, _ := worker.JobFrom(ctx)
	switch {
	case a.N == neighbour:
		tr.neighbours.Add(1)
		return nil
	case a.N == failing && j.Attempt == 1:
		return retry.After(longestDelay, errDisk)
	case a.N == failing:
		return nil
	}
	h := ctx.Value(handedKey{}).(*handed)
	tr.begin(h, j)
	defer tr.over(h, j)
	if tr.row.does == nil {
		tr.t.Error("the handler ran, want a job that does not")
		return nil
	}
	time.AfterFunc(time.Second/2, func() { tr.moment(running, h) })
	err := tr.row.does(&attempt{ctx, j, h, tr})
	if err == nil && !h.lost() {
		tr.mu.Lock()
		tr.done++
		tr.mu.Unlock()
		h.f.mu.Lock()
		h.done = true
		h.f.mu.Unlock()
	}
	return err
}

func (tr *trial) begin(h *handed, j job.Job) {
	h.f.mu.Lock()
	again := h.began
	h.began, h.since = true, time.Now()
	h.f.mu.Unlock()
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.handlers++
	tr.began = append(tr.began, j.Attempt)
	if again {
		tr.t.Error("the handler was called twice for one delivery")
	}
	if early := time.Until(j.NotBefore); early > 0 {
		tr.t.Errorf("it ran %v early", early)
	}
	if !h.delayed() {
		return
	}
	if waited := time.Since(tr.firstCopy); waited < tr.row.delay {
		tr.t.Errorf("it came back after %v, want %v", waited, tr.row.delay)
	}
	if tr.given[j.Attempt-1].IsZero() && j.Attempt > 1 {
		tr.t.Errorf("attempt %d began before the one before it was over", j.Attempt)
	}
}

func (tr *trial) over(h *handed, j job.Job) {
	h.f.mu.Lock()
	h.ended = true
	h.f.mu.Unlock()
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.handlers--
	tr.finish(j.Attempt)
}

func (tr *trial) finish(attempt int) {
	if tr.given[attempt].IsZero() {
		tr.given[attempt] = time.Now()
	}
}

// checkCopy wants copies of a job that is ours, and whose handler is over.
func (tr *trial) checkCopy(h *handed) {
	if h.lost() {
		tr.t.Error("a copy of a job is published whose delivery is lost")
	}
	h.f.mu.Lock()
	running := h.began && !h.ended
	h.f.mu.Unlock() // h.since does not change any more
	if running && (!tr.row.deaf || time.Since(h.since) < patience) {
		tr.t.Errorf("a copy is published %v after its handler began and before it returned", time.Since(h.since))
	}
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if tr.firstCopy.IsZero() {
		tr.firstCopy = time.Now()
	}
	if running {
		tr.finish(tr.began[0])
	}
}

// checkAnswer wants the answer after the handler, one, and nothing acked that is neither done
// nor copied.
func (tr *trial) checkAnswer(h *handed) {
	h.f.mu.Lock()
	defer h.f.mu.Unlock()
	kept := h.confirmed || h.verdict == broker.DeadLettered
	if h.began && !h.ended && !(tr.row.deaf && kept) {
		tr.t.Error("it is answered while its handler runs")
	}
	if len(h.answers) > 0 {
		tr.t.Errorf("it is answered again after %v", h.answers)
	}
	if h.verdict == broker.Acked && !h.done && !h.confirmed && !tr.row.drops {
		tr.t.Error("it is acked, and is neither done nor copied")
	}
}

// check looks at what has come of the job.
func (tr *trial) check() {
	t, want := tr.t, tr.fault.want(tr.row)
	tr.mu.Lock()
	defer tr.mu.Unlock()
	slices.Sort(tr.began)
	if !slices.Equal(tr.began, want.runs) {
		t.Errorf("handlers were called for attempts %v, want %v", tr.began, want.runs)
	}
	aside := jobtest.Dead(t, tr.server, tr.raw())
	aside = slices.DeleteFunc(aside, func(j jobtest.Found[json.RawMessage]) bool { return j.ID == earlier })
	if len(aside) != want.dead {
		t.Errorf("%d jobs are put aside, want %d", len(aside), want.dead)
	}
	end := gone
	switch {
	case len(aside) > 0:
		end = dead
	case tr.done > 0:
		end = done
	case tr.dropped > 0:
		end = dropped
	}
	if end != want.end {
		t.Errorf("the job is %s, want %s", end, want.end)
	}
	for _, j := range aside {
		if j.ID != subject || !bytes.Equal(j.Body, tr.sent.Body) {
			t.Errorf("put aside: %s %s, want the job as it was sent", j.ID, j.Body)
		}
		if f := j.Failure; tr.fault.effect != noCopies && (f == nil || f.Reason != tr.row.reason) {
			t.Errorf("put aside for %+v, want reason %q", f, tr.row.reason)
		}
	}
}
