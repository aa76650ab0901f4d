// Package batch has many callers' work done together: what comes while one batch is being done makes the next. Nobody waits for a batch
// to fill: an idle Batcher does a single piece at once, a busy one does many for the price of one.
package batch

import (
	"context"
	"errors"
)

// ErrEnded is returned by Do once Run has returned.
var ErrEnded = errors.New("batch: the batcher has ended")

// ErrDivide is wrapped by the error of a batch in which one piece may be to blame. Both halves are tried again without the other, down to
// single pieces, so that one bad piece fails alone.
var ErrDivide = errors.New("batch: part of it may be done")

// A Batcher does pieces of work of type T in batches, one batch at a time. Make it with New, and call Run once.
type Batcher[T any] struct {
	most  int
	do    func(context.Context, []T) error
	in    chan piece[T]
	ended chan struct{} // closed when Run returns
}

type piece[T any] struct {
	ctx   context.Context // the caller's, who may have left
	value T
	done  chan error // has room for one
}

// New makes a Batcher that calls do with at most so many pieces.
func New[T any](most int, do func(context.Context, []T) error) *Batcher[T] {
	return &Batcher[T]{most, do, make(chan piece[T]), make(chan struct{})}
}

// Do returns when the batch with v in it is done, with its error. When ctx ends earlier, v may be done all the same.
func (b *Batcher[T]) Do(ctx context.Context, v T) error {
	p := piece[T]{ctx, v, make(chan error, 1)}
	select {
	case b.in <- p:
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-b.ended:
		return ErrEnded
	}
	select {
	case err := <-p.done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Run does the work until ctx ends, which ends a batch in the middle, too: let the callers finish first.
func (b *Batcher[T]) Run(ctx context.Context) {
	defer close(b.ended)
	for {
		select {
		case first := <-b.in:
			b.finish(ctx, b.gather(first))
		case <-ctx.Done():
			return
		}
	}
}

// gather takes what waits, and waits for nothing.
func (b *Batcher[T]) gather(first piece[T]) []piece[T] {
	all := []piece[T]{first}
	for len(all) < b.most {
		select {
		case p := <-b.in:
			if p.ctx.Err() == nil { // else nobody waits for it
				all = append(all, p)
			}
		default:
			return all
		}
	}
	return all
}

func (b *Batcher[T]) finish(ctx context.Context, all []piece[T]) {
	values := make([]T, len(all))
	for i, p := range all {
		values[i] = p.value
	}
	err := b.do(ctx, values)
	if half := len(all) / 2; half > 0 && errors.Is(err, ErrDivide) {
		b.finish(ctx, all[:half])
		b.finish(ctx, all[half:])
		return
	}
	for _, p := range all {
		p.done <- err
	}
}
