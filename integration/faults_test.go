package integration_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/job"
	"github.com/errandq/errand/topology"
	"github.com/errandq/errand/worker"
)

// The network fails all the time, also in the midst of a frame, and no job is lost.
func TestConnectionsAreCutAtRandom(t *testing.T) {
	t.Parallel()
	const jobs, producers, workers = 20_000, 4, 2
	url := rabbit.URL(t)
	p := newProxy(t, url)
	p.cutAfter(func() int64 { return 20_000 + rand.Int64N(1_500_000) })
	kind := job.Define[numbered]("cut", job.Queue("cut"))
	var worked tally
	for range workers {
		w := worker.New(dialThrough(t, p), worker.Config{Concurrency: 8, Prefetch: 100, Logger: quiet})
		worker.Handle(w, kind, worked.work)
		start(t, w)
	}
	cuts := cutNowAndThen(t, p, worked.worked)
	began := time.Now()
	var conns []*broker.Conn
	var wg sync.WaitGroup
	for i := range producers {
		conn := dialThrough(t, p)
		conns = append(conns, conn)
		produce(t, &wg, conn, kind, i*jobs/producers, (i+1)*jobs/producers, 50)
	}
	wg.Wait() // each Enqueue has returned nil
	eventually(t, "all jobs", func() bool { return worked.worked() == jobs })
	took := time.Since(began)

	generations := uint64(0)
	for _, conn := range conns {
		generations += conn.Status().Publish.Generation
	}
	t.Logf("%d jobs in %v, %d connections of the producers, %d cuts of all at once, %d duplicates",
		jobs, took.Round(time.Millisecond), generations, cuts(), worked.duplicates())
	if generations <= producers {
		t.Error("no connection of a producer was cut")
	}
	dialRaw(t, url).empty(topology.DeadQueue("cut"), topology.Namespace("").Parked())
}

// dialThrough dials as somebody who knows that the network is bad.
func dialThrough(t *testing.T, p *proxy) *broker.Conn {
	t.Helper()
	return dialWith(t, p.url, broker.Config{Heartbeat: time.Second})
}

// cutNowAndThen cuts all connections several times a second until stop, which returns how
// often that was, or the end of the test. A cut waits until much was done since the last one:
// RabbitMQ counts each against all jobs on the way, up to a limit, which a slow machine would
// come to that gets little done between two of them.
func cutNowAndThen(t *testing.T, p *proxy, done func() int) (stop func() int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	const much = 200 // as many as two workers hold
	n, next, ended := 0, 0, make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-ctx.Done():
				return
			case <-time.After(100*time.Millisecond + rand.N(600*time.Millisecond)):
			}
			if now := done(); now >= next {
				p.cut()
				n, next = n+1, now+much
			}
		}
	}()
	stop = func() int {
		cancel()
		<-ended
		return n
	}
	t.Cleanup(func() { stop() })
	return stop
}

// One message is in flight each time when its connection dies. That is no fault of it.
func TestMessageIsCutInTwoAgainAndAgain(t *testing.T) {
	t.Parallel()
	const cuts = 6
	url := rabbit.URL(t)
	p := newProxy(t, url)
	conn := dialWith(t, p.url, broker.Config{})
	kind := job.Define[string]("large")
	enqueue(t, conn, kind.New("small")) // so that nothing is left to declare

	cut := 0
	p.cutAfter(func() int64 { // is asked twice a connection
		if cut++; cut <= 2*cuts {
			return 500_000
		}
		return -1
	})
	p.cut()
	enqueue(t, conn, kind.New(strings.Repeat("x", 1_000_000)))
	if n := conn.Status().Publish.Generation; n != cuts+2 {
		t.Errorf("it took %d connections, want %d", n, cuts+2)
	}
	r := dialRaw(t, url)
	for range 2 {
		r.await(job.DefaultQueue)
	}
	r.empty(job.DefaultQueue)
}

// A job whose connection was cut is given to another handler; the first one hears of it, and
// what it returns has no effect.
func TestDeliveryIsLostWithItsConnection(t *testing.T) {
	t.Parallel()
	for _, result := range []struct {
		name string
		err  error
	}{{"nil", nil}, {"error", errBoom}} {
		t.Run(result.name, func(t *testing.T) {
			t.Parallel()
			url := rabbit.URL(t)
			p := newProxy(t, url)
			conn := dial(t, p.url)
			kind := job.Define[numbered]("lost")
			attempts, causes := make(chan int, 2), make(chan error, 1)
			var second atomic.Bool
			w := newWorker(conn, 1)
			worker.Handle(w, kind, func(ctx context.Context, _ numbered) error {
				j, _ := worker.JobFrom(ctx)
				attempts <- j.Attempt
				if !second.Swap(true) {
					<-ctx.Done()
					causes <- context.Cause(ctx)
					return result.err
				}
				return nil
			})
			stop := start(t, w)
			enqueue(t, conn, kind.New(numbered{}))
			receive(t, "the job", attempts)
			p.cut()
			if a := receive(t, "the job again", attempts); a != 1 {
				t.Errorf("got attempt %d, want 1", a)
			}
			if err := receive(t, "the cause", causes); !errors.Is(err, worker.ErrDeliveryLost) {
				t.Errorf("got cause %v, want ErrDeliveryLost", err)
			}
			want := worker.Stats{Done: 1, Lost: 1}
			eventually(t, "the counters", func() bool { return w.Stats() == want })
			stop()
			dialRaw(t, url).empty(job.DefaultQueue, topology.DeadQueue(job.DefaultQueue))
		})
	}
}

// Delivery tags begin at 1 on each channel, so a late answer would hit another job.
func TestLateAnswerTouchesNoOtherDelivery(t *testing.T) {
	t.Parallel()
	for _, answer := range []struct {
		name string
		give func(*broker.Delivery) error
	}{
		{"ack", (*broker.Delivery).Ack},
		{"requeue", (*broker.Delivery).Requeue},
		{"dead letter", (*broker.Delivery).DeadLetter},
	} {
		t.Run(answer.name, func(t *testing.T) {
			t.Parallel()
			url := rabbit.URL(t)
			p := newProxy(t, url)
			conn := dial(t, p.url)
			enqueueNumbered(t, conn, job.Define[numbered]("held"), 2)

			ctx, end := context.WithCancel(t.Context())
			defer end()
			held, done := make(chan *broker.Delivery, 2), make(chan error, 1)
			go func() {
				s := broker.Subscription{Queue: job.DefaultQueue}
				done <- conn.Consume(ctx, s, func(d *broker.Delivery) { held <- d })
			}()
			before := receive(t, "a delivery", held)
			p.cut()
			after := receive(t, "a delivery of the next connection", held)
			if err := context.Cause(before.Context()); !errors.Is(err, broker.ErrDeliveryLost) {
				t.Errorf("the first delivery's context: got cause %v, want ErrDeliveryLost", err)
			}
			if err := answer.give(before); !errors.Is(err, broker.ErrDeliveryLost) {
				t.Errorf("the late answer: got %v, want ErrDeliveryLost", err)
			}
			silent(t, "another job was handed out", held, 200*time.Millisecond)
			if err := after.Context().Err(); err != nil {
				t.Errorf("the second delivery's context: %v", err)
			}
			end()
			if err := receive(t, "the end of Consume", done); err != nil {
				t.Errorf("Consume: %v", err)
			}
			if err := after.Ack(); !errors.Is(err, broker.ErrDeliveryLost) {
				t.Errorf("an answer after Consume: got %v, want ErrDeliveryLost", err)
			}
			r := dialRaw(t, url)
			eventually(t, "both jobs back in the queue", func() bool { return r.ready(job.DefaultQueue) == 2 })
			r.empty(topology.DeadQueue(job.DefaultQueue))
		})
	}
}

func TestDeliveryIsAnsweredOnce(t *testing.T) {
	t.Parallel()
	url := rabbit.URL(t)
	conn := dial(t, url)
	enqueueNumbered(t, conn, job.Define[numbered]("once"), 1)
	ctx, end := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- conn.Consume(ctx, broker.Subscription{Queue: job.DefaultQueue, Settle: time.Second}, func(d *broker.Delivery) {
			if err := d.Ack(); err != nil {
				t.Errorf("Ack: %v", err)
			}
			if err := d.Requeue(); !errors.Is(err, broker.ErrAnswered) {
				t.Errorf("Requeue after Ack: got %v, want ErrAnswered", err)
			}
			end()
		})
	}()
	if err := receive(t, "the end of Consume", done); err != nil {
		t.Errorf("Consume: %v", err)
	}
	dialRaw(t, url).empty(job.DefaultQueue)
}

// Packets vanish and nobody closes anything: only heartbeats tell.
func TestHalfOpenConnection(t *testing.T) {
	t.Parallel()
	url := rabbit.URL(t)
	p := newProxy(t, url)
	conn := dialWith(t, p.url, broker.Config{Heartbeat: time.Second})
	kind := job.Define[numbered]("silence")
	began, causes := make(chan int, 4), make(chan error, 1)
	var second atomic.Bool
	w := newWorker(conn, 1)
	worker.Handle(w, kind, func(ctx context.Context, n numbered) error {
		began <- n.N
		if !second.Swap(true) {
			<-ctx.Done()
			causes <- context.Cause(ctx)
		}
		return nil
	})
	start(t, w)
	enqueue(t, conn, kind.New(numbered{1}))
	receive(t, "the job", began)

	p.swallow()
	silence := time.Now()
	enqueue(t, conn, kind.New(numbered{2})) // waits for the next connection
	published := time.Since(silence)
	if err := receive(t, "the cause", causes); !errors.Is(err, worker.ErrDeliveryLost) {
		t.Errorf("got cause %v, want ErrDeliveryLost", err)
	}
	got := receive(t, "the first job again", began) + receive(t, "the second job", began)
	if got != 3 {
		t.Errorf("got other jobs than 1 and 2 after the silence")
	}
	worked := time.Since(silence)
	t.Logf("published after %v, worked after %v", published.Round(time.Millisecond), worked.Round(time.Millisecond))
	if worked > 10*time.Second {
		t.Errorf("it took %v to recover, with a heartbeat of one second", worked)
	}
}

func TestQueueIsDeletedUnderItsConsumer(t *testing.T) {
	t.Parallel()
	url := rabbit.URL(t)
	conn := dial(t, url)
	kind := job.Define[numbered]("deleted")
	var worked tally
	w := newWorker(conn, 1)
	worker.Handle(w, kind, worked.work)
	start(t, w)
	enqueue(t, conn, kind.New(numbered{1}))
	eventually(t, "the job before", func() bool { return worked.worked() == 1 })
	r := dialRaw(t, url)
	r.delete(job.DefaultQueue)
	eventually(t, "the queue again", func() bool { return r.exists(job.DefaultQueue) })
	enqueue(t, conn, kind.New(numbered{2}))
	eventually(t, "the job after", func() bool { return worked.worked() == 2 })
}

// An administrator closes connections with a reason.
func TestConnectionIsClosedByTheServer(t *testing.T) {
	t.Parallel()
	url := rabbit.URL(t)
	log, book := newLog()
	conn := dialWith(t, url, broker.Config{Logger: log})
	kind := job.Define[numbered]("forced")
	var worked tally
	w := newWorker(conn, 1)
	worker.Handle(w, kind, worked.work)
	start(t, w)
	enqueue(t, conn, kind.New(numbered{1}))
	eventually(t, "the job before", func() bool { return worked.worked() == 1 })
	if err := rabbit.Server(t).CloseConnections(t.Context(), "time for tea", url); err != nil {
		t.Fatal(err)
	}
	enqueue(t, conn, kind.New(numbered{2}))
	eventually(t, "the job after", func() bool { return worked.worked() == 2 })
	eventually(t, "the reason in the log", func() bool {
		return len(book.lines("connection lost", "CONNECTION_FORCED", "time for tea")) > 0
	})
}
