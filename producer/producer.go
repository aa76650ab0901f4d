package producer

import (
	"context"
	"fmt"

	"github.com/errandq/errand/job"
	"github.com/errandq/errand/topology"
)

// Config changes what a Producer does. The zero value works.
type Config struct {
	// Namespace is the prefix of errand's own exchanges and queues; producers and workers of
	// one application share it. Empty means "errand".
	Namespace topology.Namespace
	// AppID goes out with every job that has none, to tell who sent it. Empty means none.
	AppID string
}

// A Producer sends jobs over a broker. It is safe for concurrent use, and faster the more
// callers share it. It needs no closing; the broker is its owner's to close.
type Producer struct {
	sender *job.Sender
	appID  string
}

var _ job.Enqueuer = (*Producer)(nil)

// New makes a Producer. A nil broker or a bad namespace panics.
func New(b job.Broker, cfg Config) *Producer {
	return &Producer{sender: job.NewSender(b, cfg.Namespace), appID: cfg.AppID}
}

// Enqueue sends jobs and waits until RabbitMQ has confirmed all of them. Many jobs in one
// call cost one wait. It waits through outages until ctx ends.
//
// An invalid job (the error wraps [job.ErrInvalid], [broker.ErrInvalid] or
// [broker.ErrTooLarge]) fails the whole call before anything is sent, and so does an
// error of declaring what the jobs need. Later errors are a [*broker.PublishError] for each
// job that failed, joined; the others are enqueued. One that wraps [broker.ErrUnconfirmed]
// leaves open whether RabbitMQ has the job; any other says that it has not. Where something
// was deleted meanwhile and can't be declared again, the error of that is joined to them.
func (p *Producer) Enqueue(ctx context.Context, jobs ...job.Job) error {
	if p.appID != "" {
		jobs = append([]job.Job(nil), jobs...) // they are the caller's
		for i := range jobs {
			if jobs[i].AppID == "" {
				jobs[i].AppID = p.appID
			}
		}
	}
	if err := p.sender.Send(ctx, jobs...); err != nil {
		return fmt.Errorf("producer: enqueue: %w", err)
	}
	return nil
}
