package broker

import (
	"context"
	"reflect"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// verdicts is an Answerer that keeps the answers.
type verdicts []Verdict

func (v *verdicts) Answer(_ *Delivery, got Verdict) error {
	*v = append(*v, got)
	return nil
}

func TestDeliveryAnswers(t *testing.T) {
	t.Parallel()
	var got verdicts
	type key struct{}
	ctx := context.WithValue(t.Context(), key{}, "value")
	d := NewDelivery(ctx, "pdf", Message{ID: "1"}, &got)
	if d.Queue != "pdf" || d.ID != "1" || d.Context().Value(key{}) != "value" {
		t.Errorf("got %+v", d)
	}
	for _, answer := range []func() error{d.Ack, d.Requeue, d.DeadLetter} {
		if err := answer(); err != nil {
			t.Error(err)
		}
	}
	if want := (verdicts{Acked, Requeued, DeadLettered}); !reflect.DeepEqual(got, want) {
		t.Errorf("answers are %v, want %v", got, want)
	}
}

func TestReceived(t *testing.T) {
	t.Parallel()
	s := &session{queue: "pdf", ctx: t.Context(), acks: newAcks(newAckServer())}
	sent := Message{Exchange: "x", Key: "k", ID: "1", Type: "t", ContentType: "c", AppID: "a", CorrelationID: "o", ReplyTo: "r",
		Timestamp: time.Unix(1, 0), Priority: 7, Headers: map[string]any{"m": map[string]any{"n": int64(1)}}, Body: []byte("b")}
	p := sent.publishing()
	d := s.received(&amqp.Delivery{Exchange: "x", RoutingKey: "k", MessageId: p.MessageId, Type: p.Type, ContentType: p.ContentType, AppId: p.AppId,
		CorrelationId: p.CorrelationId, ReplyTo: p.ReplyTo, Timestamp: p.Timestamp, Priority: p.Priority, DeliveryMode: p.DeliveryMode,
		Headers: p.Headers, Body: p.Body, DeliveryTag: 9, Redelivered: true})
	if !reflect.DeepEqual(d.Message, sent) {
		t.Errorf("received %+v, want what was sent, %+v", d.Message, sent)
	}
	if d.Queue != "pdf" || !d.Redelivered || d.Deliveries != 1 || d.tag != 9 {
		t.Errorf("got queue %q, redelivered %v, %d deliveries, tag %d", d.Queue, d.Redelivered, d.Deliveries, d.tag)
	}
}

func TestDeliveries(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name        string
		headers     amqp.Table
		redelivered bool
		want        int
	}{
		{"first", nil, false, 0},
		{"classic queue", nil, true, 1},
		{"before 4.3", amqp.Table{"x-delivery-count": int64(3)}, true, 3},
		{"from 4.3", amqp.Table{"x-acquired-count": int64(5), "x-delivery-count": int64(3)}, true, 5},
		{"short integer", amqp.Table{"x-delivery-count": int32(3)}, true, 3},
		{"hostile", amqp.Table{"x-delivery-count": "many"}, true, 1},
	}
	for _, test := range tests {
		if got := deliveries(&amqp.Delivery{Headers: test.headers, Redelivered: test.redelivered}); got != test.want {
			t.Errorf("%s: got %d, want %d", test.name, got, test.want)
		}
	}
}
