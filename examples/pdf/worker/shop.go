package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/errandq/errand/examples/pdf/invoice"
	"github.com/errandq/errand/examples/pdf/jobs"
	"github.com/errandq/errand/examples/pdf/mail"
	"github.com/errandq/errand/job"
	"github.com/errandq/errand/retry"
)

// sender is the part of *mail.Sender that the shop uses.
type sender interface {
	Send(ctx context.Context, letter mail.Letter) error
}

// shop has the handlers and what they work with. Both handlers may run twice for the same order, because every job is worked at least
// once: a crash between the work and its ack repeats the work.
type shop struct {
	renderer *invoice.Renderer
	store    invoice.Store
	enqueuer job.Enqueuer
	sender   sender // nil: mail is off
	sent     ledger
	pause    time.Duration
	log      *slog.Logger
}

// render makes and stores an order's PDF, then enqueues its mail. A second run writes the same bytes and enqueues a mail with the same
// ID. Mailing is a job of its own, so that a mail that fails is retried without rendering again.
func (s *shop) render(ctx context.Context, order invoice.Order) error {
	if err := wait(ctx, s.pause); err != nil {
		return err
	}
	pdf, err := s.renderer.Render(order)
	if errors.Is(err, invoice.ErrInvalid) {
		return retry.Permanent(err) // the order will not mend itself: into the dead-letter queue at once
	}
	if err != nil {
		return err
	}
	path, err := s.store.Put(order.ID, pdf)
	if err != nil {
		return err
	}
	s.log.Info("pdf stored", "order", order.ID, "file", path, "bytes", len(pdf))
	if s.sender == nil {
		return nil
	}
	return s.enqueuer.Enqueue(ctx, jobs.MailInvoice(order))
}

// mail sends a stored invoice, unless the ledger has it as sent. Between the server's yes and the ledger's entry a crash still sends a
// letter twice; nothing can close that gap for SMTP, and the same Message-ID lets the receiver's side notice.
func (s *shop) mail(ctx context.Context, letter jobs.Letter) error {
	path, err := s.store.Path(letter.OrderID)
	if err != nil {
		return retry.Permanent(err)
	}
	sent, err := s.sent.has(letter.OrderID)
	if err != nil {
		return err
	}
	if sent {
		s.log.Info("mail was sent already", "order", letter.OrderID)
		return nil
	}
	err = s.sender.Send(ctx, mail.Letter{
		ID:         "invoice-" + letter.OrderID,
		To:         letter.Email,
		Subject:    "Your order " + letter.OrderID,
		Text:       fmt.Sprintf("Dear %s,\n\nthank you for your order %s! Your invoice is attached.\n", letter.Name, letter.OrderID),
		Attachment: path,
	})
	if err != nil {
		return err
	}
	s.log.Info("mail sent", "order", letter.OrderID, "to", letter.Email)
	if err := s.sent.add(letter.OrderID); err != nil {
		// An error would send the letter again. Without the entry, that happens only if the job itself comes again.
		s.log.Warn("mail sent but not noted", "order", letter.OrderID, "err", err)
	}
	return nil
}

// wait returns after d, or earlier with the cause when ctx ends.
func wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
