package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/examples/archive/ledger"
)

// A story is what happens, in order.
type story struct {
	dir, amqp, db string
	n             int

	ledger *ledger.Ledger
	conn   *broker.Conn
}

func (s *story) tell(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, s.close()) }()
	if err := s.open(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var mails mailer
	var running sync.WaitGroup
	running.Go(func() {
		if err := mails.run(ctx, s.conn); err != nil {
			cancel(err)
		}
	})
	defer running.Wait()
	defer cancel(nil)

	began := time.Now()
	running.Go(func() {
		if err := s.shop(ctx); err != nil {
			cancel(err)
		}
	})
	killed, err := s.archiver(ctx)
	if err != nil {
		return err
	}
	if err := s.until(ctx, s.n/3, killed); err != nil {
		return errors.Join(err, killed.kill())
	}
	if err := killed.kill(); err != nil {
		return err
	}
	rows, _, err := s.ledger.Count(ctx)
	if err != nil {
		return err
	}
	say("killed the archiver with SIGKILL: %d rows so far", rows)
	second, err := s.archiver(ctx)
	if err != nil {
		return err
	}
	if err := s.until(ctx, s.n, second); err != nil {
		return errors.Join(err, second.kill())
	}
	took := time.Since(began)
	if err := mails.until(ctx, s.n); err != nil {
		return errors.Join(err, second.kill())
	}
	if err := second.terminate(); err != nil { // what came twice is answered now
		return err
	}
	say("done: %.0f orders a second, from the shop into the database", float64(s.n)/took.Seconds())
	return s.check(ctx, mails.thanked())
}

// until waits for so many rows, which the archiver makes.
func (s *story) until(ctx context.Context, n int, archiver *process) error {
	return await(ctx, fmt.Sprintf("%d rows", n), func() (bool, error) {
		select {
		case <-archiver.ended:
			return false, fmt.Errorf("the archiver has ended: %w", archiver.wait())
		default:
		}
		rows, _, err := s.ledger.Count(ctx)
		return rows >= n, err
	})
}

// await looks again and again, because a database tells nobody.
func await(ctx context.Context, what string, ok func() (bool, error)) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if done, err := ok(); done || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", what, context.Cause(ctx))
		}
	}
}

// check counts at the end.
func (s *story) check(ctx context.Context, thanked int) error {
	rows, different, err := s.ledger.Count(ctx)
	if err != nil {
		return err
	}
	totals, err := s.totals()
	if err != nil {
		return err
	}
	wrong := 0
	for _, number := range []struct {
		what      string
		got, want int
	}{
		{"orders placed", s.n, s.n},
		{"rows in the database", rows, s.n},
		{"different orders in them", different, s.n},
		{"customers thanked by the mailer", thanked, s.n},
	} {
		mark := "ok"
		if number.got != number.want {
			mark = fmt.Sprintf("WRONG: want %d", number.want)
			wrong++
		}
		fmt.Printf("  %-44s %7d  %s\n", number.what, number.got, mark)
	}
	fmt.Printf("  %-44s %7d\n", "events that came again and were known", totals.Known)
	fmt.Printf("  %-44s %7.1f\n", "rows in a transaction, of the second archiver", float64(totals.Rows+totals.Known)/float64(max(totals.Transactions, 1)))
	if wrong > 0 {
		return fmt.Errorf("%d numbers are wrong", wrong)
	}
	return nil
}
