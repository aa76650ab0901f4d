package integration_test

import (
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/errandq/errand/broker"
	amqp "github.com/rabbitmq/amqp091-go"
)

// A raw is a client that is not errand: it sends what errand never would, and looks into
// queues. It is for one goroutine.
type raw struct {
	t    *testing.T
	conn *amqp.Connection
}

// dialRaw connects to url until the test ends.
func dialRaw(t *testing.T, url string) *raw {
	t.Helper()
	conn, err := amqp.Dial(url)
	if err != nil {
		t.Fatal(err)
	}
	r := &raw{t, conn}
	t.Cleanup(r.close)
	return r
}

// close ends the connection; what was taken and not acked goes back.
func (r *raw) close() {
	if !r.conn.IsClosed() {
		_ = r.conn.Close() // a test may have cut it
	}
}

// on runs f on a channel of its own, because an error closes the channel.
func (r *raw) on(f func(ch *amqp.Channel) error) error {
	r.t.Helper()
	ch, err := r.conn.Channel()
	if err != nil {
		r.t.Fatal(err)
	}
	err = f(ch)
	_ = ch.Close() // f's error may have closed it
	return err
}

func (r *raw) must(f func(ch *amqp.Channel) error) {
	r.t.Helper()
	if err := r.on(f); err != nil {
		r.t.Fatal(err)
	}
}

// publish sends messages straight to a queue, as they are, and waits for the confirms.
func (r *raw) publish(queue string, ms ...broker.Message) {
	r.t.Helper()
	r.must(func(ch *amqp.Channel) error {
		if err := ch.Confirm(false); err != nil {
			return err
		}
		for _, m := range ms {
			dc, err := ch.PublishWithDeferredConfirm("", queue, true, false, amqp.Publishing{
				DeliveryMode:  amqp.Persistent,
				MessageId:     m.ID,
				Type:          m.Type,
				ContentType:   m.ContentType,
				CorrelationId: m.CorrelationID,
				Priority:      m.Priority,
				Headers:       amqp.Table(m.Headers),
				Body:          m.Body,
			})
			if err != nil {
				return err
			}
			if !dc.Wait() {
				return fmt.Errorf("message %s was refused", m.ID)
			}
		}
		return nil
	})
}

// take removes the first message of a queue, if there is one.
func (r *raw) take(queue string) (m broker.Message, ok bool) {
	r.t.Helper()
	r.must(func(ch *amqp.Channel) error {
		d, some, err := ch.Get(queue, true)
		ok = some
		m = broker.Message{
			Exchange:    d.Exchange,
			Key:         d.RoutingKey,
			ID:          d.MessageId,
			Type:        d.Type,
			ContentType: d.ContentType,
			Priority:    d.Priority,
			Headers:     d.Headers,
			Body:        d.Body,
		}
		return err
	})
	return m, ok
}

// await takes the first message of a queue, as soon as there are both. It asks how many
// there are before it takes one, because a queue exists a moment before it works.
func (r *raw) await(queue string) (m broker.Message) {
	r.t.Helper()
	eventually(r.t, "a message in "+queue, func() (ok bool) {
		if !r.exists(queue) || r.ready(queue) == 0 {
			return false
		}
		m, ok = r.take(queue)
		return ok
	})
	return m
}

// awaitConsumer waits until somebody consumes a queue.
func (r *raw) awaitConsumer(queue string) {
	r.t.Helper()
	eventually(r.t, "a consumer of "+queue, func() bool { return r.exists(queue) && r.consumers(queue) > 0 })
}

// hold takes the first message of a queue and leaves it unanswered until close.
func (r *raw) hold(queue string) (ok bool) {
	r.t.Helper()
	ch, err := r.conn.Channel()
	if err != nil {
		r.t.Fatal(err)
	}
	_, ok, err = ch.Get(queue, false)
	if err != nil {
		r.t.Fatal(err)
	}
	return ok
}

// ready and consumers are what the server says of a queue. A quorum queue that is busy may
// say 0, so ask again.
func (r *raw) ready(queue string) int { return r.inspect(queue).Messages }

func (r *raw) consumers(queue string) int { return r.inspect(queue).Consumers }

func (r *raw) inspect(queue string) (q amqp.Queue) {
	r.t.Helper()
	r.must(func(ch *amqp.Channel) (err error) {
		q, err = ch.QueueDeclarePassive(queue, true, false, false, false, nil)
		return err
	})
	return q
}

func (r *raw) exists(queue string) bool {
	r.t.Helper()
	return r.on(func(ch *amqp.Channel) error {
		_, err := ch.QueueDeclarePassive(queue, true, false, false, false, nil)
		return err
	}) == nil
}

// empty wants that nothing is ready in a queue.
func (r *raw) empty(queues ...string) {
	r.t.Helper()
	for _, queue := range queues {
		if m, ok := r.take(queue); ok {
			r.t.Errorf("queue %s: got message %s of type %.80q with headers %.300v, want none", queue, m.ID, m.Type, m.Headers)
		}
	}
}

// declare makes a durable classic queue without any arguments, as tutorials do.
func (r *raw) declare(queue string) {
	r.t.Helper()
	r.must(func(ch *amqp.Channel) error {
		_, err := ch.QueueDeclare(queue, true, false, false, false, nil)
		return err
	})
}

func (r *raw) delete(queue string) {
	r.t.Helper()
	r.must(func(ch *amqp.Channel) error {
		_, err := ch.QueueDelete(queue, false, false, false)
		return err
	})
}

// exotic are headers of every type that AMQP tables have in this client.
func exotic() map[string]any {
	return map[string]any{
		"bool": true, "int8": int8(-8), "uint8": uint8(8), "int16": int16(-16), "uint16": uint16(16),
		"int32": int32(-32), "uint32": uint32(32), "int64": int64(-64), "float32": float32(1.5),
		"float64": 2.5, "string": "text", "bytes": []byte{0, 1, 255}, "nil": nil,
		"decimal": amqp.Decimal{Scale: 2, Value: 1234},
		"time":    time.Unix(1_700_000_000, 0),
		"list":    []any{int32(1), "two", []any{int64(3)}, amqp.Table{"four": int64(4)}},
		"table":   amqp.Table{"nested": amqp.Table{"deeper": int64(5)}, "empty": amqp.Table{}},
	}
}

// forgedDeath is the header of a message that has been through queues as expired, as only
// RabbitMQ itself should write it.
func forgedDeath(queues ...string) map[string]any {
	var deaths []any
	for _, queue := range queues {
		deaths = append(deaths, amqp.Table{
			"queue": queue, "reason": "expired", "count": int64(1), "exchange": "",
			"routing-keys": []any{queue}, "time": time.Unix(1_700_000_000, 0),
		})
	}
	return map[string]any{"x-death": deaths, "x-first-death-queue": queues[0], "x-first-death-reason": "expired"}
}

// A hog makes the server hold much memory: it begins large messages and never ends them.
type hog struct {
	conns []net.Conn
	wg    sync.WaitGroup
}

// half is a connection that loses what is written after so many bytes.
type half struct {
	net.Conn
	left int
}

func (h *half) Write(p []byte) (int, error) {
	n := min(len(p), h.left)
	h.left -= n
	if n == 0 {
		return len(p), nil
	}
	_, err := h.Conn.Write(p[:n])
	return len(p), err
}

// newHog makes the server of url hold at least size bytes more, sooner or later, unless the
// server stops reading before. It ends with the test.
func newHog(t *testing.T, url string, size int) *hog {
	t.Helper()
	const each = 32 << 20
	h := &hog{}
	body := make([]byte, each+1<<20)
	for range (size + each - 1) / each {
		conn, err := amqp.DialConfig(url, amqp.Config{Dial: func(network, address string) (net.Conn, error) {
			c, err := net.Dial(network, address)
			if err == nil {
				h.conns = append(h.conns, c)
			}
			return &half{c, each}, err
		}})
		if err != nil {
			t.Fatal(err)
		}
		ch, err := conn.Channel()
		if err != nil {
			t.Fatal(err)
		}
		h.wg.Go(func() {
			_ = ch.Publish("", "nowhere", false, false, amqp.Publishing{Body: body}) // close ends it
		})
	}
	t.Cleanup(h.close)
	return h
}

func (h *hog) close() {
	for _, c := range h.conns {
		_ = c.Close()
	}
	h.wg.Wait()
}
