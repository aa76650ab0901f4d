package integration_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/errandq/errand/event"
	"github.com/errandq/errand/job"
	"github.com/errandq/errand/producer"
	"github.com/errandq/errand/rpc"
	"github.com/errandq/errand/worker"
	amqp "github.com/rabbitmq/amqp091-go"
)

// unreadable are headers that RabbitMQ takes and the AMQP library does not read: too deep, too
// many, or too large.
func unreadable() (ps []amqp.Publishing) {
	wide := amqp.Table{}
	for i := range 9000 {
		wide[fmt.Sprint(i)] = nil
	}
	for _, headers := range []amqp.Table{nested(40), nested(1000), {"t": wide}, wide, {"l": make([]any, 9000)},
		{"n": strings.Repeat("x", 130_986)}} { // RabbitMQ takes a frame of one byte more than the library
		ps = append(ps, amqp.Publishing{MessageId: "unreadable", ContentType: "application/json", Headers: headers, Body: []byte(`{"N":1}`)})
	}
	return ps
}

// A message that the AMQP library can't read harms no other, and no connection.
func TestUnreadableHeaders(t *testing.T) {
	t.Parallel()
	url := rabbit.URL(t)
	conn := dial(t, url)
	r := dialRaw(t, url)
	w := worker.New(conn, worker.Config{Logger: quiet})
	var worked tally
	slow := func(ctx context.Context, n numbered) error {
		select { // long enough to be in flight when the bad ones come
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
		}
		return worked.work(ctx, n)
	}
	worker.Handle(w, render, slow)
	event.Subscribe(w, orderPlaced, event.Temporary(), slow)
	s := newRPC(conn, rpc.ServerConfig{})
	rpc.Handle(s, thumbnail, func(_ context.Context, n numbered) (int, error) { return n.N, nil })
	start(t, w)
	serve(t, s)
	r.awaitConsumer("pdf")
	r.awaitConsumer("pdf.thumbnail")
	eventually(t, "the subscription", func() bool {
		publish(t, producer.New(conn, producer.Config{}), orderPlaced, numbered{-1})
		return worked.has(-1)
	})
	c := newClient(t, dial(t, url), rpc.ClientConfig{})
	bad := unreadable()
	for i := range bad {
		bad[i].Type, bad[i].ReplyTo = render.Name(), "errand.reply.x"
	}
	for i, p := range bad {
		enqueue(t, conn, render.New(numbered{2 * i}), render.New(numbered{2*i + 1}))
		r.pour("", "pdf", []amqp.Publishing{p})
		r.pour("order.placed", "", []amqp.Publishing{p})
		r.send("pdf.thumbnail", p)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		if got, err := thumbnail.Call(ctx, c, numbered{i}); err != nil || got != i {
			t.Errorf("got %d, %v for an honest caller, want %d", got, err, i)
		}
		cancel()
	}
	eventually(t, "all jobs", func() bool {
		return worked.worked() == 2*len(bad)+1 && w.Stats().Dead+w.Stats().Dropped == int64(2*len(bad))
	})
	for range bad {
		m := r.await("pdf.dead")
		if why, _ := m.Headers["errand-error"].(string); m.Headers["errand-reason"] != string(job.Malformed) || !strings.Contains(why, "headers can't be read") || string(m.Body) != `{"N":1}` {
			t.Errorf("got %s with headers %.300v put aside, want it malformed because its headers can't be read", m.Body, m.Headers)
		}
	}
	if n := conn.Status().Consume.Generation + conn.Status().Publish.Generation; n != 2 {
		t.Errorf("it took %d connections, want two", n)
	}
	if s := w.Stats(); s.Lost+s.Requeued != 0 {
		t.Errorf("got %+v, want nothing lost", s)
	}
}
