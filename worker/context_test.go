package worker_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/errandq/errand/retry"
	"github.com/errandq/errand/worker"
)

// handled runs handler as that of one job, with a timeout of 3 seconds and a grace of a minute.
func handled(t *testing.T, handler func(ctx context.Context) error) *watched {
	t.Helper()
	f := watch(t)
	f.alone = true
	w := worker.New(f, worker.Config{Logger: quiet, Timeout: 3 * time.Second, Grace: time.Minute, Retry: retry.Steps{time.Second}})
	worker.Handle(w, render, func(ctx context.Context, _ args) error { return handler(ctx) })
	stop := start(t, w)
	f.put("pdf", message("j"))
	time.Sleep(time.Minute)
	if err := stop(); err != nil {
		t.Error(err)
	}
	return f
}

// over checks that ctx has ended in that way.
func over(t *testing.T, ctx context.Context, err, cause error) {
	t.Helper()
	select {
	case <-ctx.Done():
	default:
		t.Error("the context is not done")
	}
	if got := ctx.Err(); got != err {
		t.Errorf("the context's error is %v, want %v", got, err)
	}
	if got := context.Cause(ctx); got != cause {
		t.Errorf("the cause is %v, want %v", got, cause)
	}
}

// A handler's time begins with the handler, whenever its context is asked.
func TestContextThatIsAskedLate(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		ask  func(t *testing.T, ctx context.Context)
	}{
		{"deadline", func(t *testing.T, ctx context.Context) {
			at, ok := ctx.Deadline()
			if left := time.Until(at); !ok || left != time.Second {
				t.Errorf("%v are left (%v), want 1s", left, ok)
			}
		}},
		{"done", func(t *testing.T, ctx context.Context) { <-ctx.Done() }},
		{"a context made of it", func(t *testing.T, ctx context.Context) {
			child, cancel := context.WithCancel(ctx)
			defer cancel()
			<-child.Done()
			over(t, child, context.DeadlineExceeded, worker.ErrTimeout)
		}},
		{"a function after it", func(t *testing.T, ctx context.Context) {
			called := make(chan struct{})
			context.AfterFunc(ctx, func() { close(called) })
			<-called
		}},
		{"printed", func(t *testing.T, ctx context.Context) {
			if got := fmt.Sprint(ctx); !strings.Contains(got, "WithDeadline") || !strings.Contains(got, "[1s]") {
				t.Errorf("printed as %q, want as one with a deadline in 1s", got)
			}
		}},
		{"cause", func(t *testing.T, ctx context.Context) {
			if err := context.Cause(ctx); err != nil {
				t.Errorf("the cause is %v before the end", err)
			}
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				handled(t, func(ctx context.Context) error {
					began := time.Now()
					time.Sleep(2 * time.Second)
					test.ask(t, ctx)
					<-ctx.Done()
					if took := time.Since(began); took != 3*time.Second {
						t.Errorf("it ended after %v, want 3s", took)
					}
					over(t, ctx, context.DeadlineExceeded, worker.ErrTimeout)
					return nil
				})
			})
		})
	}
}

// The timeout counts also if nobody has asked for it before it was over.
func TestContextThatIsAskedAfterItsEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		handled(t, func(ctx context.Context) error {
			time.Sleep(4 * time.Second)
			over(t, ctx, context.DeadlineExceeded, worker.ErrTimeout)
			return nil
		})
	})
}

func TestErrorAfterTheTimeoutThatNobodyAskedFor(t *testing.T) {
	t.Parallel()
	for after, want := range map[time.Duration]bool{2 * time.Second: false, 4 * time.Second: true} {
		t.Run(after.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := handled(t, func(context.Context) error {
					time.Sleep(after)
					return errDisk
				})
				text := f.published(t).Failure.Error
				if got := strings.Contains(text, worker.ErrTimeout.Error()); got != want {
					t.Errorf("the failure is %q, want the timeout in it: %v", text, want)
				}
				if !strings.Contains(text, errDisk.Error()) {
					t.Errorf("the failure is %q, want the handler's error in it", text)
				}
			})
		})
	}
}

// Whoever keeps the context finds it ended once the handler has returned.
func TestContextAfterItsHandler(t *testing.T) {
	t.Parallel()
	for name, ask := range map[string]bool{"asked before": true, "not asked": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				handled(t, func(ctx context.Context) error {
					if ask && ctx.Err() != nil {
						t.Error("it has ended before its handler")
					}
					go func() {
						time.Sleep(time.Second)
						over(t, ctx, context.Canceled, context.Canceled)
						if j, ok := worker.JobFrom(ctx); !ok || j.ID != "j" {
							t.Errorf("it has job %+v, %v", j, ok)
						}
					}()
					return nil
				})
			})
		})
	}
}
