package signup

import (
	"context"
	"errors"
	"testing"

	"github.com/errandq/errand/jobtest"
	"github.com/errandq/errand/retry"
	"github.com/errandq/errand/worker"
)

func TestBadAddressIsNotTriedAgain(t *testing.T) {
	b := jobtest.NewBroker(t)
	w := NewWorker(b, func(context.Context, Mail) error {
		return retry.Permanent(errors.New("no such mailbox"))
	})
	if got := jobtest.Run(t, w, SendMail.New(Mail{To: "nobody"})); got.Outcome != worker.Dead {
		t.Errorf("got %s (%v), want %s", got.Outcome, got.Err, worker.Dead)
	}
}
