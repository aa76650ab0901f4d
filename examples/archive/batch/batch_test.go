package batch_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/errandq/errand/examples/archive/batch"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// run makes a Batcher of at most four pieces, which runs until the test ends or stop is called.
func run(t *testing.T, do func(context.Context, []int) error) (b *batch.Batcher[int], stop func()) {
	t.Helper()
	b = batch.New(4, do)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { b.Run(ctx) })
	stop = func() {
		cancel()
		wg.Wait()
	}
	t.Cleanup(stop)
	return b, stop
}

func TestWhatComesMeanwhileIsTheNextBatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var sizes []int
		gate := make(chan struct{})
		b, _ := run(t, func(_ context.Context, values []int) error {
			sizes = append(sizes, len(values))
			<-gate
			return nil
		})
		var callers sync.WaitGroup
		call := func(n int) {
			for i := range n {
				callers.Go(func() {
					if err := b.Do(t.Context(), i); err != nil {
						t.Errorf("Do: %v", err)
					}
				})
			}
			synctest.Wait()
		}
		call(1) // at once, alone
		call(7) // four, the most, and three
		close(gate)
		callers.Wait()
		if want := []int{1, 4, 3}; !slices.Equal(sizes, want) {
			t.Errorf("got batches of %v, want %v", sizes, want)
		}
	})
}

func TestOneBadPieceFailsAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		bad, gate := fmt.Errorf("13 is unlucky: %w", batch.ErrDivide), make(chan struct{})
		var done []int
		b, _ := run(t, func(_ context.Context, values []int) error {
			<-gate
			if slices.Contains(values, 13) {
				return bad
			}
			done = append(done, values...)
			return nil
		})
		errs := map[int]chan error{}
		for _, v := range []int{0, 11, 12, 13, 14} {
			c := make(chan error, 1)
			errs[v] = c
			go func() { c <- b.Do(t.Context(), v) }()
			synctest.Wait()
		}
		close(gate)
		for v, c := range errs {
			if err := <-c; (v == 13) != errors.Is(err, bad) {
				t.Errorf("%d: got %v, want an error for 13 only", v, err)
			}
		}
		if want := []int{0, 11, 12, 14}; !slices.Equal(done, want) {
			t.Errorf("got %v done, want %v", done, want)
		}
	})
}

func TestOtherErrorsAreEverybodys(t *testing.T) {
	t.Parallel()
	outage, calls := errors.New("outage"), 0
	b, _ := run(t, func(context.Context, []int) error { calls++; return outage })
	if err := b.Do(t.Context(), 1); !errors.Is(err, outage) || calls != 1 {
		t.Errorf("got %v after %d calls, want the error after one", err, calls)
	}
}

func TestCallersLeaveWithTheirContexts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		gate, done := make(chan struct{}), 0
		b, stop := run(t, func(_ context.Context, values []int) error {
			<-gate
			done += len(values)
			return nil
		})
		reason := errors.New("shutdown")
		ctx, cancel := context.WithCancelCause(t.Context())
		left := make(chan error, 2)
		for i := range 2 { // one in the batch, one that waits
			go func() { left <- b.Do(ctx, i) }()
			synctest.Wait()
		}
		cancel(reason)
		for range 2 {
			if err := <-left; !errors.Is(err, reason) {
				t.Errorf("got %v, want the context's cause", err)
			}
		}
		close(gate)
		stop()
		if done != 1 {
			t.Errorf("got %d done, want only the one in the batch", done)
		}
		if err := b.Do(t.Context(), 1); !errors.Is(err, batch.ErrEnded) {
			t.Errorf("after the end: got %v, want ErrEnded", err)
		}
	})
}
