package signup

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/jobtest"
	"github.com/errandq/errand/producer"
)

// A worker is killed when the mail is out, and before RabbitMQ knows. The job comes again, with
// the same ID.
func TestMailIsSentOnceThoughItsWorkerDies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := jobtest.NewBroker(t)
		outbox := map[Mail]int{}
		w := NewWorker(b, func(_ context.Context, m Mail) error {
			outbox[m]++ // a map, so the second time does no harm
			return nil
		})
		s := Service{Jobs: producer.New(b, producer.Config{})}
		if err := s.SignUp(t.Context(), "ann@example.com"); err != nil {
			t.Fatal(err)
		}
		killed := false
		b.CutBefore(func(_ *broker.Delivery, v broker.Verdict) bool {
			first := v == broker.Acked && !killed
			killed = true
			return first
		})

		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- w.Run(ctx) }()
		time.Sleep(4 * 24 * time.Hour)
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if len(outbox) != 2 {
			t.Errorf("the mails sent are %v, want two different ones", outbox)
		}
	})
}

// RabbitMQ is away for a minute, and signing up takes as long.
func TestSignUpWaitsForRabbitMQ(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := jobtest.NewBroker(t)
		s := Service{Jobs: producer.New(b, producer.Config{})}
		b.Stop()
		time.AfterFunc(time.Minute, b.Start)
		if err := s.SignUp(t.Context(), "ann@example.com"); err != nil {
			t.Error(err)
		}
	})
}
