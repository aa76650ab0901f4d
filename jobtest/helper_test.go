package jobtest_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/job"
	"github.com/errandq/errand/jobtest"
	"github.com/errandq/errand/producer"
	"github.com/errandq/errand/topology"
	"github.com/errandq/errand/worker"
)

var quiet = slog.New(slog.DiscardHandler)

type mail struct {
	To      string `json:"to"`
	Subject string `json:"subject,omitempty"`
}

var sendMail = job.Define[mail]("mail.send", job.Queue("mail"))

// bubble runs test with a broker in a bubble of its own.
func bubble(t *testing.T, test func(t *testing.T, b *jobtest.Broker)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { test(t, jobtest.NewBroker(t)) })
}

func newWorker(b broker.Broker, handle func(context.Context, mail) error, opts ...worker.Option) *worker.Worker {
	w := worker.New(b, worker.Config{Logger: quiet})
	worker.Handle(w, sendMail, handle, opts...)
	return w
}

// start runs w until the test ends or stop is called, which wants no error of it.
func start(t *testing.T, w *worker.Worker) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func enqueue(t *testing.T, b job.Broker, jobs ...job.Job) {
	t.Helper()
	if err := producer.New(b, producer.Config{}).Enqueue(t.Context(), jobs...); err != nil {
		t.Fatal(err)
	}
}

// newQueue declares a queue that messages can be published to by its name.
func newQueue(t *testing.T, b broker.Broker, name string, args map[string]any) {
	t.Helper()
	if err := b.Declare(t.Context(), topology.Topology{Queues: []topology.Queue{{Name: name, Args: args}}}); err != nil {
		t.Fatal(err)
	}
}

// consume takes the bodies of a queue's messages, and acks, until stop.
func consume(t *testing.T, b broker.Broker, s broker.Subscription) (bodies chan string, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	bodies = make(chan string, 100)
	ended := make(chan error, 1)
	go func() {
		ended <- b.Consume(ctx, s, func(d *broker.Delivery) {
			bodies <- string(d.Body)
			if err := d.Ack(); err != nil && !errors.Is(err, broker.ErrDeliveryLost) {
				t.Errorf("Ack: %v", err)
			}
		})
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Consume: %v", err)
		}
	})
	t.Cleanup(stop)
	return bodies, stop
}

// within wants f to take d of the bubble's time.
func within(t *testing.T, d time.Duration, f func()) {
	t.Helper()
	began := time.Now()
	f()
	if took := time.Since(began); took != d {
		t.Errorf("it took %v, want %v", took, d)
	}
}

func message(queue, body string) broker.Message {
	return broker.Message{Key: queue, ID: body, Body: []byte(body)}
}
