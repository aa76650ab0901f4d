package signup

import (
	"context"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/job"
	"github.com/errandq/errand/retry"
	"github.com/errandq/errand/worker"
)

type Mail struct {
	To       string `json:"to"`
	Template string `json:"template"`
}

var SendMail = job.Define[Mail]("mail.send", job.Queue("mail"))

type Service struct {
	Jobs job.Enqueuer // a producer.Producer
}

func (s Service) SignUp(ctx context.Context, email string) error {
	// ... keep the account ...
	return s.Jobs.Enqueue(ctx,
		SendMail.New(Mail{To: email, Template: "welcome"}),
		SendMail.New(Mail{To: email, Template: "tips"}, job.Delay(3*24*time.Hour)),
	)
}

// NewWorker mails by send.
func NewWorker(b broker.Broker, send func(context.Context, Mail) error) *worker.Worker {
	w := worker.New(b, worker.Config{})
	worker.Handle(w, SendMail, send, worker.Retry(retry.Steps{time.Minute, time.Hour}))
	return w
}
