package main

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/errandq/errand/examples/pdf/invoice"
	"github.com/errandq/errand/examples/pdf/jobs"
	"github.com/errandq/errand/job"
)

// shop places orders and remembers which. It is safe for concurrent use.
type shop struct {
	enqueuer job.Enqueuer
	log      *slog.Logger
	now      func() time.Time

	mu     sync.Mutex
	orders []string
}

// place enqueues one order and returns its job's ID. When it returns nil, the order is safe with RabbitMQ.
func (s *shop) place(ctx context.Context, order invoice.Order) (jobID string, err error) {
	j := jobs.Render.New(order)
	if err := s.enqueuer.Enqueue(ctx, j); err != nil {
		return "", err
	}
	s.note(order.ID)
	s.log.Info("order placed", "order", order.ID, "job", j.ID)
	return j.ID, nil
}

// Many jobs in one call cost one wait; a limit keeps the memory flat for a large -n.
const batch = 100

// placeAll enqueues many orders, a part at a time. On an error some orders of the part that failed may have been placed all the same;
// summary leaves them out.
func (s *shop) placeAll(ctx context.Context, orders []invoice.Order) error {
	for start := 0; start < len(orders); start += batch {
		part := orders[start:min(start+batch, len(orders))]
		work := make([]job.Job, len(part))
		for n, order := range part {
			work[n] = jobs.Render.New(order)
		}
		if err := s.enqueuer.Enqueue(ctx, work...); err != nil {
			return fmt.Errorf("place orders %d to %d of %d: %w", start+1, start+len(part), len(orders), err)
		}
		for n, order := range part {
			s.note(order.ID)
			s.log.Info("order placed", "order", order.ID, "job", work[n].ID)
		}
	}
	return nil
}

func (s *shop) note(orderID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.orders = append(s.orders, orderID)
}

// placed is what a producer tells about itself at its end.
type placed struct {
	Placed int      `json:"placed"`
	Orders []string `json:"orders"`
}

func (s *shop) summary() placed {
	s.mu.Lock()
	defer s.mu.Unlock()
	return placed{Placed: len(s.orders), Orders: append([]string{}, s.orders...)}
}
