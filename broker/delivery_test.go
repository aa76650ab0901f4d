package broker

import (
	"context"
	"reflect"
	"testing"
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

func TestDeliveries(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name        string
		headers     map[string]any
		redelivered bool
		want        int
	}{
		{"first", nil, false, 0},
		{"classic queue", nil, true, 1},
		{"before 4.3", map[string]any{"x-delivery-count": int64(3)}, true, 3},
		{"from 4.3", map[string]any{"x-acquired-count": int64(5), "x-delivery-count": int64(3)}, true, 5},
		{"short integer", map[string]any{"x-delivery-count": int32(3)}, true, 3},
		{"hostile", map[string]any{"x-delivery-count": "many"}, true, 1},
	}
	for _, test := range tests {
		if got := deliveries(test.headers, test.redelivered); got != test.want {
			t.Errorf("%s: got %d, want %d", test.name, got, test.want)
		}
	}
}
