package role

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/errandq/errand/bench/chaos/ledger"
	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/job"
	"github.com/errandq/errand/producer"
)

// How the producers behave.
const (
	callers   = 16               // goroutines that enqueue
	patience  = 30 * time.Second // of most calls, for outages
	batch     = 8                // jobs in one call at most
	longDelay = 3 * time.Second
)

func (p *program) produce(conn *broker.Conn) error {
	s := &sender{program: p, to: producer.New(conn, producer.Config{})}
	tickets := p.pace()
	var wg sync.WaitGroup
	for i := range callers {
		r := rand.New(rand.NewPCG(p.Seed, uint64(i)))
		wg.Go(func() {
			for range tickets {
				n := 1
				if r.IntN(10) == 0 {
					n = 2 + r.IntN(batch-1)
				}
				for range n - 1 {
					<-tickets // of a closed channel too
				}
				s.some(r, n)
			}
		})
	}
	wg.Go(func() { s.obey() })
	wg.Wait()
	return nil
}

// pace returns a channel that lets Rate a second through until the program is to stop.
func (p *program) pace() <-chan struct{} {
	const turns = 50 // a second
	tickets := make(chan struct{})
	go func() {
		defer close(tickets)
		tick := time.NewTicker(time.Second / turns)
		defer tick.Stop()
		due := 0
		for {
			select {
			case <-tick.C:
			case <-p.soft.Done():
				return
			}
			for due = min(due+p.Rate, p.Rate*turns); due >= turns; due -= turns {
				select {
				case tickets <- struct{}{}:
				case <-p.soft.Done():
					return
				}
			}
		}
	}()
	return tickets
}

// A sender enqueues and notes what it was told.
type sender struct {
	*program
	to   *producer.Producer
	last atomic.Uint64
}

// some enqueues n jobs by one call.
func (s *sender) some(r *rand.Rand, n int) {
	wait := patience
	if r.IntN(10) == 0 { // somebody is in a hurry
		wait = time.Millisecond * time.Duration(1+r.IntN(300))
	}
	jobs := make([]job.Job, n)
	for i := range jobs {
		jobs[i] = s.draw(r)
	}
	s.enqueue(wait, jobs...)
}

// draw makes a job of a kind that chance decides.
func (s *sender) draw(r *rand.Rand) job.Job {
	now := time.Now()
	t := Task{Sent: now.UnixNano(), Takes: time.Duration(r.IntN(20)) * time.Millisecond}
	id := job.ID(s.id())
	switch n := r.IntN(100); {
	case n < 65:
		return plain.New(t, id)
	case n < 77:
		at := now.Add(time.Duration(r.Int64N(int64(longDelay))))
		t.NotBefore = at.UnixMilli() * int64(time.Millisecond)
		return delayed.New(t, id, job.At(at))
	case n < 89:
		return flaky.New(t, id)
	case n < 93:
		return permanent.New(t, id)
	case n < 96:
		return exhausted.New(t, id)
	default:
		return sacrifice.New(t, id)
	}
}

func (s *sender) id() string { return fmt.Sprintf("%s-%d", s.Name, s.last.Add(1)) }

// obey enqueues what is commanded.
func (s *sender) obey() {
	for {
		select {
		case <-s.soft.Done():
			return
		case command := <-s.commands:
			t, id := Task{Sent: time.Now().UnixNano()}, job.ID(s.id())
			switch command {
			case SendLong:
				t.Takes = s.Long
				s.enqueue(patience, long.New(t, id))
			case SendQuick:
				s.enqueue(patience, long.New(t, id))
			case SendLarge:
				t.Ballast = make([]byte, s.Big)
				s.enqueue(patience, refused.New(t, id))
			}
		}
	}
}

// enqueue calls Enqueue, and notes before and after.
func (s *sender) enqueue(wait time.Duration, jobs ...job.Job) {
	sent := time.Now().UnixNano()
	note := func(j *job.Job, what ledger.What, text string) {
		s.note(ledger.Event{What: what, ID: j.ID, Kind: j.Kind, Sent: sent, Note: text})
	}
	for i := range jobs {
		note(&jobs[i], ledger.Try, "")
	}
	ctx, cancel := context.WithTimeout(s.ctx, wait)
	defer cancel()
	defer s.late(wait, func() { note(&jobs[0], ledger.Stuck, "") })() // one of them is enough
	err := s.to.Enqueue(ctx, jobs...)
	failures := map[string]error{}
	for _, f := range broker.Failures(err) {
		failures[f.ID] = f
	}
	for i := range jobs {
		e := err
		if len(failures) > 0 {
			e = failures[jobs[i].ID] // the others are enqueued
		}
		switch {
		case e == nil:
			note(&jobs[i], ledger.Kept, "")
		case errors.Is(e, broker.ErrUnconfirmed):
			note(&jobs[i], ledger.Unsure, class(e))
		default:
			note(&jobs[i], ledger.Refused, class(e))
			s.log.Info("refused", "job", jobs[i].ID, "kind", jobs[i].Kind, "err", e)
		}
	}
}

// class is the sentinel of a publisher's error.
func class(err error) string {
	for _, sentinel := range []error{
		broker.ErrUnconfirmed, broker.ErrUnroutable, broker.ErrNacked, broker.ErrTooLarge,
		broker.ErrBlocked, broker.ErrNotConnected, context.DeadlineExceeded,
	} {
		if errors.Is(err, sentinel) {
			return sentinel.Error()
		}
	}
	return err.Error()
}
