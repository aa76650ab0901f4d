package role

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/errandq/errand/bench/chaos/book"
	"github.com/errandq/errand/bench/chaos/ledger"
	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/rpc"
)

// A Question is the argument of all calls, and comes back changed.
type Question struct {
	ID   string
	N    int
	Sent int64
}

// An Answer is what a server makes of a [Question].
type Answer struct {
	ID      string
	Squared int
}

var (
	square = rpc.Define[Question, Answer]("square", rpc.Idempotent())
	once   = rpc.Define[Question, Answer](book.Once)
)

// Methods are the names of the methods, and of their queues.
func Methods() []string { return []string{square.Name(), once.Name()} }

func (p *program) serve(conn *broker.Conn) error {
	s := rpc.NewServer(conn, rpc.ServerConfig{Grace: grace, Concurrency: 8, Prefetch: 16, Logger: p.log})
	for _, m := range []rpc.Method[Question, Answer]{square, once} {
		rpc.Handle(s, m, func(ctx context.Context, q Question) (Answer, error) {
			p.note(ledger.Event{What: ledger.Answer, ID: q.ID, Kind: m.Name(), Sent: q.Sent})
			if err := Sleep(ctx, time.Duration(q.N%10)*time.Millisecond); err != nil {
				return Answer{}, err
			}
			return Answer{q.ID, q.N * q.N}, nil
		})
	}
	return s.Run(p.soft)
}

// How the callers behave.
const (
	lines    = 8                // goroutines that call
	deadline = 20 * time.Second // of most calls, for outages
)

func (p *program) callAll(conn *broker.Conn) (err error) {
	c := rpc.NewClient(conn, rpc.ClientConfig{})
	defer func() { err = errors.Join(err, c.Close()) }()
	var last atomic.Uint64
	tickets := p.pace()
	var wg sync.WaitGroup
	for i := range lines {
		r := rand.New(rand.NewPCG(p.Seed, uint64(i)))
		wg.Go(func() {
			for range tickets {
				p.call(c, r, fmt.Sprintf("%s-%d", p.Name, last.Add(1)))
			}
		})
	}
	wg.Wait()
	return nil
}

// call makes one call and notes before and after.
func (p *program) call(c *rpc.Client, r *rand.Rand, id string) {
	m, limit := square, deadline
	if r.IntN(4) == 0 {
		m = once
	}
	if r.IntN(20) == 0 { // somebody is in a hurry
		limit = time.Duration(1+r.IntN(100)) * time.Millisecond
	}
	q := Question{ID: id, N: r.IntN(1000), Sent: time.Now().UnixNano()}
	note := func(what ledger.What, text string) {
		p.note(ledger.Event{What: what, ID: id, Kind: m.Name(), Sent: q.Sent, Note: text})
	}
	note(ledger.Call, "")
	ctx, cancel := context.WithTimeout(p.ctx, limit)
	defer cancel()
	defer p.late(limit, func() { note(ledger.Hung, m.Name()) })()
	a, err := m.Call(ctx, c, q)
	switch {
	case err != nil:
		note(ledger.Error, m.Name()+": "+callClass(err, limit < time.Second))
	case a != Answer{id, q.N * q.N}:
		note(ledger.Wrong, fmt.Sprintf("%s: %+v for %+v", m.Name(), a, q))
	default:
		note(ledger.Right, m.Name())
	}
}

// callClass is what a call failed by.
func callClass(err error, hurry bool) string {
	if e, ok := errors.AsType[*rpc.Error](err); ok {
		return "code " + string(e.Code)
	}
	for _, sentinel := range []error{rpc.ErrNoServer, rpc.ErrInterrupted, rpc.ErrClosed} {
		if errors.Is(err, sentinel) {
			return sentinel.Error()
		}
	}
	if errors.Is(err, context.DeadlineExceeded) && hurry {
		return "deadline of a few milliseconds"
	}
	return class(err)
}
