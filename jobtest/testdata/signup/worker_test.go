package signup

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/errandq/errand/jobtest"
	"github.com/errandq/errand/producer"
	"github.com/errandq/errand/worker"
)

func TestTipsComeAfterThreeDays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := jobtest.NewBroker(t)
		var sent []string
		w := NewWorker(b, func(_ context.Context, m Mail) error {
			sent = append(sent, m.Template)
			return nil
		})
		s := Service{Jobs: producer.New(b, producer.Config{})}
		if err := s.SignUp(t.Context(), "ann@example.com"); err != nil {
			t.Fatal(err)
		}

		jobtest.Drain(t, b, w)
		if len(sent) != 1 || sent[0] != "welcome" {
			t.Errorf("at once: sent %q, want the welcome", sent)
		}
		time.Sleep(3*24*time.Hour + time.Second)
		jobtest.Drain(t, b, w)
		if len(sent) != 2 || sent[1] != "tips" {
			t.Errorf("after three days: sent %q, want the tips, too", sent)
		}
	})
}

func TestMailThatFailsThreeTimesIsPutAside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := jobtest.NewBroker(t)
		w := NewWorker(b, func(context.Context, Mail) error { return errors.New("mail server is down") })
		p := producer.New(b, producer.Config{})
		if err := p.Enqueue(t.Context(), SendMail.New(Mail{To: "ann@example.com"})); err != nil {
			t.Fatal(err)
		}

		for _, want := range []worker.Outcome{worker.Retried, worker.Retried, worker.Dead} {
			worked := jobtest.Drain(t, b, w)
			if len(worked) != 1 || worked[0].Outcome != want {
				t.Fatalf("got %+v, want one job that is %s", worked, want)
			}
			time.Sleep(2 * time.Hour)
		}
		jobtest.WantDead(t, b, SendMail, Mail{To: "ann@example.com"})
	})
}
