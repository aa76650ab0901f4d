package integration_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/rpc"
	amqp "github.com/rabbitmq/amqp091-go"
)

// increment answers with the next number. Running it twice is a mistake that tests look for.
var increment = rpc.Define[numbered, int]("increment")

// prompt is how long something may take that happens at once, on a busy machine.
const prompt = 500 * time.Millisecond

func TestRequestOnTheWire(t *testing.T) {
	bothWays(t, func(t *testing.T, cfg rpc.ClientConfig) {
		url := rabbit.URL(t)
		r := dialRaw(t, url)
		requests := r.consume("increment")
		c := newClient(t, dial(t, url), cfg)
		const timeout = 20 * time.Second
		ctx, cancel := context.WithTimeout(t.Context(), timeout)
		defer cancel()
		deadline, _ := ctx.Deadline()
		began := time.Now()
		answers := make(chan error, 1)
		go func() {
			got, err := increment.Call(ctx, c, numbered{1})
			if err == nil && got != 2 {
				t.Errorf("got %d, want 2", got)
			}
			answers <- err
		}()
		d := receive(t, "the request", requests)
		if since := d.Timestamp.Sub(began); since <= -time.Second || since > prompt {
			t.Errorf("got timestamp %v, want the second of %v", d.Timestamp, began)
		}
		ms, err := strconv.ParseInt(d.Expiration, 10, 64)
		if got := d.Timestamp.UnixMilli() + ms; err != nil || got != deadline.UnixMilli() {
			t.Errorf("got timestamp %v and expiration %q, want their sum to be %v", d.Timestamp, d.Expiration, deadline)
		}
		if d.AppId != "errand" || len(d.Headers) > 0 {
			t.Errorf("got app_id %q and headers %v, want errand and none", d.AppId, d.Headers)
		}
		if d.Type != "increment" || d.ContentType != "application/json" || string(d.Body) != `{"N":1}` {
			t.Errorf("got type %q, content type %q and body %s", d.Type, d.ContentType, d.Body)
		}
		if d.CorrelationId == "" || d.DeliveryMode == amqp.Persistent {
			t.Errorf("got correlation %q and delivery mode %d, want some and not persistent", d.CorrelationId, d.DeliveryMode)
		}
		if want := map[bool]string{false: "amq.gen-", true: "amq.rabbitmq.reply-to."}[cfg.DirectReplyTo]; !strings.HasPrefix(d.ReplyTo, want) {
			t.Errorf("got reply-to %q, want %s…", d.ReplyTo, want)
		}
		r.send(d.ReplyTo, amqp.Publishing{CorrelationId: d.CorrelationId, Body: []byte("2")}) // a foreign server's
		if err := receive(t, "the answer", answers); err != nil {
			t.Errorf("got %v, want the foreign server's answer", err)
		}
	})
}

// consume makes a queue like tutorials do and takes everything from it.
func (r *raw) consume(queue string) <-chan amqp.Delivery {
	r.t.Helper()
	r.declare(queue)
	ch, err := r.conn.Channel()
	if err != nil {
		r.t.Fatal(err)
	}
	deliveries, err := ch.Consume(queue, "", true, false, false, false, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	return deliveries
}

// send sends ps straight to a queue, as they are, and looks no further.
func (r *raw) send(queue string, ps ...amqp.Publishing) {
	r.t.Helper()
	r.must(func(ch *amqp.Channel) error {
		for _, p := range ps {
			if err := ch.Publish("", queue, false, false, p); err != nil {
				return err
			}
		}
		return nil
	})
}

// A server that is full takes nothing in, so what nobody waits for any more vanishes from
// its queue.
func TestExpiredRequestsLeaveTheQueueOfAFullServer(t *testing.T) {
	bothWays(t, func(t *testing.T, cfg rpc.ClientConfig) {
		const callers = 20
		url := rabbit.URL(t)
		s := newRPC(dial(t, url), rpc.ServerConfig{Concurrency: 1})
		var runs tally
		began, release := make(chan int, callers), make(chan struct{})
		rpc.Handle(s, increment, func(ctx context.Context, n numbered) (int, error) {
			began <- n.N
			<-release
			return n.N + 1, runs.work(ctx, n)
		})
		serve(t, s)
		r := dialRaw(t, url)
		r.awaitConsumer("increment")
		c := newClient(t, dial(t, url), cfg)

		first := make(chan error, 1)
		go func() {
			_, err := increment.Call(t.Context(), c, numbered{0})
			first <- err
		}()
		receive(t, "the first request", began)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		var wg sync.WaitGroup
		for i := range callers {
			wg.Go(func() {
				if _, err := increment.Call(ctx, c, numbered{i + 1}); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("call %d: got %v, want the deadline", i+1, err)
				}
			})
		}
		most := 0
		eventually(t, "requests that wait", func() bool {
			most = max(most, r.ready("increment"))
			return most >= callers-1
		})
		wg.Wait()
		eventually(t, "an empty queue", func() bool { return r.ready("increment") == 0 })
		close(release)
		if err := receive(t, "the first answer", first); err != nil {
			t.Errorf("the first call: %v", err)
		}
		if _, err := increment.Call(t.Context(), c, numbered{callers + 1}); err != nil {
			t.Errorf("the last call: %v", err)
		}
		if runs.worked() != 2 || !runs.has(0) || !runs.has(callers+1) {
			t.Errorf("%d requests were run, want the first and the last", runs.worked())
		}
		if w := c.Stats().Waiting; w != 0 {
			t.Errorf("%d calls still wait", w)
		}
	})
}

// A request that the server holds already expires there.
func TestExpiredRequestsAreNotRun(t *testing.T) {
	t.Parallel()
	const callers = 10
	url := rabbit.URL(t)
	s := newRPC(dial(t, url), rpc.ServerConfig{Concurrency: 1, Prefetch: callers + 1})
	var runs tally
	release := make(chan struct{})
	rpc.Handle(s, increment, func(ctx context.Context, n numbered) (int, error) {
		<-release
		return n.N + 1, runs.work(ctx, n)
	})
	stop := serve(t, s)
	r := dialRaw(t, url)
	r.awaitConsumer("increment")
	c := newClient(t, dial(t, url), rpc.ClientConfig{})
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if _, err := increment.Call(ctx, c, numbered{i}); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("call %d: got %v, want the deadline", i, err)
			}
		})
	}
	wg.Wait()
	close(release)
	stop()
	if got := s.Stats(); runs.calls != 1 || got.Expired != callers-1 {
		t.Errorf("%d requests were run and %d found expired, want 1 and %d", runs.calls, got.Expired, callers-1)
	}
}

func TestHandlerHearsThatItsCallerHasLeft(t *testing.T) {
	tests := []struct {
		name    string
		timeout time.Duration // of the caller
		after   time.Duration // it cancels so long after the start; 0: never
		want    error
	}{
		{"cancelled at once", patience, time.Millisecond, context.Canceled},
		{"cancelled later", patience, 300 * time.Millisecond, context.Canceled},
		{"deadline", 400 * time.Millisecond, 0, context.DeadlineExceeded},
	}
	bothWays(t, func(t *testing.T, cfg rpc.ClientConfig) {
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				t.Parallel()
				url := rabbit.URL(t)
				s := newRPC(dial(t, url), rpc.ServerConfig{})
				running, ended := make(chan time.Duration, 1), make(chan error, 1)
				var end atomic.Int64 // when the handler's context ended
				rpc.Handle(s, increment, func(ctx context.Context, n numbered) (int, error) {
					deadline, _ := ctx.Deadline()
					running <- time.Until(deadline)
					<-ctx.Done()
					end.Store(time.Now().UnixNano())
					ended <- context.Cause(ctx)
					return 0, ctx.Err()
				})
				serve(t, s)
				dialRaw(t, url).awaitConsumer("increment")
				c := newClient(t, dial(t, url), cfg)
				if _, err := rpc.Define[int, int]("nobody").Call(t.Context(), c, 0); !errors.Is(err, rpc.ErrNoServer) {
					t.Fatalf("got %v, want ErrNoServer", err) // and the client is connected
				}

				ctx, cancel := context.WithTimeout(t.Context(), test.timeout)
				defer cancel()
				left := make(chan time.Time, 1)
				context.AfterFunc(ctx, func() { left <- time.Now() })
				done := make(chan error, 1)
				go func() {
					_, err := increment.Call(ctx, c, numbered{1})
					done <- err
				}()
				if got := receive(t, "the handler", running); got <= 0 || got > test.timeout {
					t.Errorf("the handler has %v, want not quite %v", got, test.timeout)
				}
				if test.after > 0 {
					time.AfterFunc(test.after, cancel)
				}
				at := receive(t, "the end of the caller's context", left)
				if err := receive(t, "the end of the call", done); !errors.Is(err, test.want) {
					t.Errorf("got %v, want %v", err, test.want)
				}
				if took := time.Since(at); took > prompt {
					t.Errorf("the caller left %v after its context's end", took)
				}
				cause := receive(t, "the end of the handler's context", ended)
				if test.after > 0 && !errors.Is(cause, rpc.ErrCallerGone) {
					t.Errorf("the handler's context: got cause %v, want ErrCallerGone", cause)
				}
				took := time.Unix(0, end.Load()).Sub(at)
				t.Logf("heard of it after %v", took.Round(time.Microsecond))
				if took > time.Second {
					t.Errorf("the handler heard of it after %v, want a second at most", took)
				}
				eventually(t, "nothing running", func() bool { return s.Stats().Running == 0 })
				if w := c.Stats().Waiting; w != 0 {
					t.Errorf("%d calls still wait", w)
				}
			})
		}
	})
}

// Many at once: RabbitMQ's returns must not get lost on the way.
func TestNoServer(t *testing.T) {
	bothWays(t, func(t *testing.T, cfg rpc.ClientConfig) {
		const callers = 5000
		c := newClient(t, dial(t, rabbit.URL(t)), cfg)
		began := time.Now()
		var wg sync.WaitGroup
		for i := range callers {
			wg.Go(func() {
				if _, err := increment.Call(t.Context(), c, numbered{i}); !errors.Is(err, rpc.ErrNoServer) {
					t.Errorf("got %v, want ErrNoServer", err)
				}
			})
		}
		wg.Wait()
		took := time.Since(began)
		t.Logf("%d calls in %v", callers, took.Round(time.Millisecond))
		if took > 10*time.Second {
			t.Errorf("it took %v", took)
		}
		if w := c.Stats().Waiting; w != 0 {
			t.Errorf("%d calls still wait", w)
		}
	})
}

func TestCloseEndsCalls(t *testing.T) {
	ends := []struct {
		name  string
		close func(*rpc.Client, *broker.Conn) error
	}{
		{"client", func(c *rpc.Client, _ *broker.Conn) error { return c.Close() }},
		{"broker", func(_ *rpc.Client, conn *broker.Conn) error { return conn.Close() }},
	}
	bothWays(t, func(t *testing.T, cfg rpc.ClientConfig) {
		for _, end := range ends {
			t.Run(end.name, func(t *testing.T) {
				t.Parallel()
				const callers = 50
				url := rabbit.URL(t)
				dialRaw(t, url).declare("increment") // and nobody serves it
				conn := dial(t, url)
				c := newClient(t, conn, cfg)
				errs := make(chan error, callers)
				for i := range callers {
					go func() {
						_, err := increment.Call(t.Context(), c, numbered{i})
						errs <- err
					}()
				}
				eventually(t, "calls that wait", func() bool { return c.Stats().Waiting == callers })
				began := time.Now()
				if err := end.close(c, conn); err != nil {
					t.Error(err)
				}
				for range callers {
					if err := receive(t, "the end of a call", errs); !errors.Is(err, rpc.ErrClosed) && !errors.Is(err, rpc.ErrInterrupted) {
						t.Errorf("got %v, want ErrClosed", err)
					}
				}
				if took := time.Since(began); took > overrun {
					t.Errorf("it took %v", took)
				}
				if _, err := increment.Call(t.Context(), c, numbered{}); !errors.Is(err, rpc.ErrClosed) {
					t.Errorf("a later call: got %v, want ErrClosed", err)
				}
			})
		}
	})
}
