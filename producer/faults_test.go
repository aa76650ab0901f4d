package producer_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/job"
	"github.com/errandq/errand/jobtest"
	"github.com/errandq/errand/producer"
)

// resent is how long broker.Conn waits for a confirm before it sends again.
const resent = 20 * time.Second

// A fault is something that goes wrong while a job is enqueued.
type fault struct {
	name       string
	publishing func(jobtest.Publishing) jobtest.Fault
	strike     func(*jobtest.Broker) // before the call
	takes      time.Duration         // the call, if it may
	copies     int                   // of the job, when the call has waited
	patient    error                 // of the call that waits
	hasty      error                 // of one that waits for a second
	hastyHolds int                   // copies, after that one
}

// first is a fault of a message's first sending.
func first(f jobtest.Fault) func(jobtest.Publishing) jobtest.Fault {
	return func(p jobtest.Publishing) jobtest.Fault {
		if p.Attempt == 1 {
			return f
		}
		return jobtest.Fault{}
	}
}

// faults are what the broker can do to a publisher. Those of the first sending hit a returned
// message twice: the producer declares what it needs and publishes anew.
func faults() []fault {
	return []fault{
		{name: "none", copies: 1, hastyHolds: 1},
		{name: "confirm lost", publishing: first(jobtest.LoseConfirm()), takes: resent, copies: 2, hasty: broker.ErrUnconfirmed, hastyHolds: 1},
		{name: "confirm too late", publishing: first(jobtest.DelayConfirm(time.Minute)), takes: resent, copies: 2, hasty: broker.ErrUnconfirmed, hastyHolds: 1},
		{name: "confirm delayed", publishing: first(jobtest.DelayConfirm(5 * time.Second)), takes: 5 * time.Second, copies: 1, hasty: broker.ErrUnconfirmed, hastyHolds: 1},
		{name: "message lost", publishing: first(jobtest.LoseMessage()), takes: resent, copies: 1, hasty: broker.ErrUnconfirmed},
		{name: "returned again and again", publishing: first(jobtest.Return()), patient: broker.ErrUnroutable, hasty: broker.ErrUnroutable},
		{name: "refused", publishing: first(jobtest.Refuse()), takes: 100 * time.Millisecond, copies: 1, hastyHolds: 1},
		{name: "refused for long", publishing: refusedForLong(), takes: 2 * time.Second, copies: 1, hasty: broker.ErrNacked},
		{name: "cut on the way", strike: cutSoon(jobtest.LoseMessage()), takes: time.Second / 2, copies: 1, hastyHolds: 1},
		{name: "cut before the confirm", strike: cutSoon(jobtest.LoseConfirm()), takes: time.Second / 2, copies: 2, hastyHolds: 2},
		{name: "stopped and started", strike: stopAndStart, takes: time.Minute, copies: 1, hasty: broker.ErrNotConnected},
		{name: "blocked and unblocked", strike: blockAndUnblock, takes: time.Minute, copies: 1, hasty: broker.ErrBlocked},
		{name: "queue deleted", strike: func(b *jobtest.Broker) { b.DeleteQueue("pdf") }, copies: 1, hastyHolds: 1},
		{name: "exchange deleted", strike: func(b *jobtest.Broker) { b.DeleteExchange("errand.jobs") }, copies: 1, hastyHolds: 1},
	}
}

// refusedForLong is a queue that is full for two seconds.
func refusedForLong() func(jobtest.Publishing) jobtest.Fault {
	return func(p jobtest.Publishing) jobtest.Fault {
		if p.Attempt <= 20 {
			return jobtest.Refuse()
		}
		return jobtest.Fault{}
	}
}

func cutSoon(f jobtest.Fault) func(*jobtest.Broker) {
	return func(b *jobtest.Broker) {
		b.Inject(first(f))
		time.AfterFunc(time.Second/2, b.Cut)
	}
}

func stopAndStart(b *jobtest.Broker) {
	b.Stop()
	time.AfterFunc(time.Minute, b.Start)
}

func blockAndUnblock(b *jobtest.Broker) {
	b.Block("memory")
	time.AfterFunc(time.Minute, b.Unblock)
}

// A call that may wait has put the job into its queue when it returns nil, whatever happened
// meanwhile.
func TestEnqueueWaitsFaultsOut(t *testing.T) {
	t.Parallel()
	for _, f := range faults() {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				enqueue(context.WithoutCancel(t.Context()), t, f, f.patient, f.copies)
				if took := time.Since(began); took != f.takes {
					t.Errorf("it took %v, want %v", took, f.takes)
				}
			})
		})
	}
}

// A call that may not wait says whether the job may be in its queue all the same.
func TestEnqueueThatMayNotWaitSaysWhereTheJobIs(t *testing.T) {
	t.Parallel()
	for _, f := range faults() {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				enqueue(ctx, t, f, f.hasty, f.hastyHolds)
				time.Sleep(2 * time.Minute) // and it does not come later
				synctest.Wait()
			})
		})
	}
}

// enqueue makes one call under a fault, beside an undisturbed job for the same queue, and
// wants its error and the number of copies.
func enqueue(ctx context.Context, t *testing.T, f fault, want error, copies int) {
	t.Helper()
	b := jobtest.NewBroker(t)
	p := producer.New(b, producer.Config{})
	if err := p.Enqueue(t.Context(), renderPDF.New(render{OrderID: "before"})); err != nil {
		t.Fatal(err)
	}
	b.Inject(f.publishing)
	if f.strike != nil {
		f.strike(b)
	}
	j := renderPDF.New(render{OrderID: "42"})
	err := p.Enqueue(ctx, j)
	if !errors.Is(err, want) || (err == nil) != (want == nil) {
		t.Errorf("Enqueue: got %v, want %v", err, want)
	}
	if failures := broker.Failures(err); err != nil && (len(failures) != 1 || failures[0].ID != j.ID) {
		t.Errorf("Failures: got %v, want one, of the job", failures)
	}
	var ids []string
	for _, found := range jobtest.Enqueued(t, b, renderPDF) {
		if found.ID == j.ID {
			ids = append(ids, found.ID)
		}
	}
	if len(ids) != copies {
		t.Errorf("the queue holds %d copies of the job, want %d", len(ids), copies)
	}
	if unknown := errors.Is(err, broker.ErrUnconfirmed); err != nil && !unknown && len(ids) > 0 {
		t.Errorf("Enqueue: got %v of a job that is enqueued, want %v", err, broker.ErrUnconfirmed)
	}
}

// One of many jobs that can't be enqueued is named, and does not keep the others.
func TestOneOfManyFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := jobtest.NewBroker(t)
		var jobs []job.Job
		for n := range 10 {
			jobs = append(jobs, renderPDF.New(render{}, job.ID(fmt.Sprint(n))))
		}
		b.Inject(func(p jobtest.Publishing) jobtest.Fault {
			if p.Message.ID == "7" {
				return jobtest.Return()
			}
			return jobtest.Fault{}
		})
		err := producer.New(b, producer.Config{}).Enqueue(t.Context(), jobs...)
		if failures := broker.Failures(err); len(failures) != 1 || failures[0].ID != "7" || !errors.Is(err, broker.ErrUnroutable) {
			t.Errorf("Enqueue: got %v, want job 7 unroutable", err)
		}
		if found := jobtest.Enqueued(t, b, renderPDF); len(found) != 9 {
			t.Errorf("%d jobs are enqueued, want the other 9", len(found))
		}
	})
}
