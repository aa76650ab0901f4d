package main

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/event"
	"github.com/errandq/errand/examples/archive/orders"
	"github.com/errandq/errand/worker"
)

// A mailer is the other subscriber. It only notes whom it has thanked. The zero value is ready.
type mailer struct {
	mu     sync.Mutex
	orders map[int64]bool
}

// run thanks until ctx ends.
func (m *mailer) run(ctx context.Context, conn *broker.Conn) error {
	w := worker.New(conn, worker.Config{Concurrency: 100, Logger: slog.New(slog.DiscardHandler)})
	event.Subscribe(w, orders.Placed, event.Durable(orders.Mailer), m.thank)
	return w.Run(ctx)
}

func (m *mailer) thank(_ context.Context, o orders.Order) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.orders == nil {
		m.orders = map[int64]bool{}
	}
	m.orders[o.Number] = true
	return nil
}

// thanked is how many customers have their thanks.
func (m *mailer) thanked() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.orders)
}

func (m *mailer) until(ctx context.Context, n int) error {
	return await(ctx, fmt.Sprintf("%d mails", n), func() (bool, error) { return m.thanked() >= n, nil })
}
