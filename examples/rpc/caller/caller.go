package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/errandq/errand/examples/pdf/summary"
	"github.com/errandq/errand/examples/rpc/prices"
	"github.com/errandq/errand/rpc"
)

// A caller is what the flags say, and the means to do it.
type caller struct {
	calls, concurrency, days, servers int
	summary                           string

	client *rpc.Client
	tally  *tally
}

// await waits until so many servers answer.
func (c *caller) await(ctx context.Context) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for seen := map[string]bool{}; len(seen) < c.servers; {
		q, err := prices.Price.Call(ctx, c.client, sample(0))
		switch {
		case err == nil:
			seen[q.Server] = true
		case !errors.Is(err, rpc.ErrNoServer):
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// sample is basket number i. Every fiftieth has an article that nobody sells.
func sample(i int) prices.Basket {
	b := prices.Basket{ID: fmt.Sprint("basket-", i), Day: i % 365, Lines: []prices.Line{
		{Article: "teapot", Quantity: 1 + i%3},
		{Article: "cup", Quantity: 1 + i%20},
		{Article: "spoon", Quantity: 1 + i%200},
	}}
	if i%50 == 49 {
		b.Lines[0].Article = "unicorn"
	}
	return b
}

// askAll makes the calls.
func (c *caller) askAll(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(c.concurrency)
	for i := range c.calls {
		g.Go(func() error { return c.ask(ctx, sample(i)) })
	}
	return g.Wait()
}

// ask makes one call. It returns an error only if there is no point in going on.
func (c *caller) ask(ctx context.Context, b prices.Basket) error {
	began := time.Now()
	q, err := prices.Price.Call(ctx, c.client, b)
	if ctx.Err() != nil {
		return ctx.Err() // Ctrl-C, which is nobody's failure
	}
	calls, right := c.tally.add(b, q, err, time.Since(began))
	if !right {
		log.Printf("%s: got %+v, %v", b.ID, q, err)
	}
	if calls%max(1, c.calls/10) != 0 {
		return nil
	}
	return summary.Write(c.summary, c.account())
}

// follow takes the history of an article. When it breaks off it is taken up from there: what has come is not asked for again.
func (c *caller) follow(ctx context.Context, article string) error {
	for next := 0; next < c.days; {
		rest := prices.Span{Article: article, From: next, Days: c.days - next}
		for day, err := range prices.History.Call(ctx, c.client, rest) {
			switch {
			case errors.Is(err, rpc.ErrInterrupted):
				c.tally.interrupted()
			case err != nil:
				return err
			case day.Day != next:
				return fmt.Errorf("history of %s: got day %d, want %d", article, day.Day, next)
			default:
				c.tally.day()
				next++
			}
		}
	}
	return nil
}

// account is what the calls have come to so far.
func (c *caller) account() account {
	a := c.tally.soFar()
	a.Late = int(c.client.Stats().Late)
	return a
}
