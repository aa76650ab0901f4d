package integration_test

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/errandq/errand/rpc"
	"github.com/errandq/errand/topology"
	amqp "github.com/rabbitmq/amqp091-go"
)

const rpcQueue = "rpc_queue"

// fib is the method of the sixth RabbitMQ tutorial. Nobody there knows its name.
var fib = rpc.Define[int, int]("fib", rpc.Queue(rpcQueue))

// answers are what fib returns for 0 to 20.
var answers = []int{0, 1, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377, 610, 987, 1597, 2584, 4181, 6765}

// slow is a number whose answer takes so long that an errand caller is told that it has
// started, which others would take for the answer.
const slow = 7

func answer(_ context.Context, n int) (int, error) {
	if n == slow {
		time.Sleep(100 * time.Millisecond)
	}
	if n < 0 || n >= len(answers) {
		return 0, rpc.Errorf(rpc.InvalidRequest, "fib(%d) is not for us", n)
	}
	return answers[n], nil
}

// A peer calls and serves fib as the tutorial does, without errand.
type peer struct {
	name string
	// call sends all bodies, and returns the bodies of the replies in the same order. Replies
	// come to replyTo, or to a queue of its own if that is empty.
	call func(t *testing.T, url, replyTo string, bodies ...string) []string
	// serve declares the queue and answers, until the test ends.
	serve func(t *testing.T, url string)
}

func peers() []peer {
	all := []peer{{"go", callRaw, serveRaw}}
	for _, l := range languages() {
		all = append(all, peer{l.name, l.call, l.serve})
	}
	return all
}

// call runs rpc_client.
func (l language) call(t *testing.T, url, replyTo string, bodies ...string) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	args := append([]string{"testdata/rpc_client" + l.extension, url, replyTo}, bodies...)
	var stderr strings.Builder
	cmd := exec.CommandContext(ctx, l.command, args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		l.failed(t, fmt.Errorf("rpc_client: %w\n%s%s", err, out, &stderr))
	}
	return strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
}

// serve runs rpc_server.
func (l language) serve(t *testing.T, url string) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		out, err := exec.CommandContext(ctx, l.command, "testdata/rpc_server"+l.extension, url).CombinedOutput()
		ended <- fmt.Errorf("rpc_server has ended: %w\n%s", err, out)
		close(ended)
	}()
	t.Cleanup(func() {
		stop()
		for range ended { // an end is expected now
		}
	})
	r := dialRaw(t, url)
	eventually(t, "a server in "+l.name, func() bool {
		select {
		case err := <-ended:
			l.failed(t, err)
		default:
		}
		return r.exists(rpcQueue) && r.consumers(rpcQueue) > 0
	})
}

// failed ends the test because of err, unless it may do without the language.
func (l language) failed(t *testing.T, err error) {
	t.Helper()
	if testing.Short() {
		t.Skipf("skipped in short mode: %v", err)
	}
	t.Fatalf("%s: %v (%s)", l.command, err, l.install)
}

// callRaw is a peer's call in Go.
func callRaw(t *testing.T, url, replyTo string, bodies ...string) []string {
	t.Helper()
	got := make([]string, len(bodies))
	dialRaw(t, url).must(func(ch *amqp.Channel) error {
		if replyTo == "" {
			q, err := ch.QueueDeclare("", false, false, true, false, nil)
			if err != nil {
				return err
			}
			replyTo = q.Name
		}
		replies, err := ch.Consume(replyTo, "", true, false, false, false, nil)
		if err != nil {
			return err
		}
		for i, body := range bodies {
			m := amqp.Publishing{ContentType: "text/plain", ReplyTo: replyTo, CorrelationId: strconv.Itoa(i), Body: []byte(body)}
			if err := ch.Publish("", rpcQueue, false, false, m); err != nil {
				return err
			}
		}
		for range bodies {
			d := receive(t, "a reply", replies)
			i, err := strconv.Atoi(d.CorrelationId)
			if err != nil || i < 0 || i >= len(got) || got[i] != "" {
				t.Fatalf("got reply %q with correlation ID %q, want each once", d.Body, d.CorrelationId)
			}
			got[i] = string(d.Body)
		}
		return nil
	})
	return got
}

// serveRaw is a peer's server in Go.
func serveRaw(t *testing.T, url string) {
	t.Helper()
	r := dialRaw(t, url)
	r.declare(rpcQueue)
	ch, err := r.conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	if err := ch.Qos(1, 0, false); err != nil {
		t.Fatal(err)
	}
	requests, err := ch.Consume(rpcQueue, "", false, false, false, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for d := range requests {
			n, err := strconv.Atoi(string(d.Body))
			if err != nil || n < 0 || n >= len(answers) {
				t.Errorf("got request %q, want a number", d.Body)
				continue
			}
			reply := amqp.Publishing{ContentType: "text/plain", CorrelationId: d.CorrelationId, Body: []byte(strconv.Itoa(answers[n]))}
			if err := ch.Publish("", d.ReplyTo, false, false, reply); err != nil {
				t.Error(err)
			}
			if err := d.Ack(false); err != nil {
				t.Error(err)
			}
		}
	})
	t.Cleanup(func() {
		r.close()
		wg.Wait()
	})
}

// Whoever sends a body, reply_to and a correlation ID is answered with the bare result,
// whether the replies come to a queue of its own or directly.
func TestForeignCallers(t *testing.T) {
	t.Parallel()
	for _, p := range peers() {
		for name, replyTo := range map[string]string{"queue": "", "direct": directReplyTo} {
			t.Run(p.name+"/"+name, func(t *testing.T) {
				t.Parallel()
				url := rabbit.URL(t)
				s := rpc.NewServer(dial(t, url), rpc.ServerConfig{Logger: quiet})
				rpc.Handle(s, fib, answer)
				serve(t, s)
				dialRaw(t, url).awaitConsumer(rpcQueue)
				var bodies, want []string
				for n, a := range answers {
					bodies, want = append(bodies, strconv.Itoa(n)), append(want, strconv.Itoa(a))
				}
				bodies = append(bodies, "-1", "seven", "")
				got := p.call(t, url, replyTo, bodies...)
				undecodable := `{"code":"invalid_request","message":"the body does not decode as the method's request"}`
				want = append(want, `{"code":"invalid_request","message":"fib(-1) is not for us"}`, undecodable, undecodable)
				if !slices.Equal(got, want) {
					t.Errorf("got replies %q, want %q", got, want)
				}
				// A server counts a request when its reply is out already.
				stats := rpc.ServerStats{Answered: uint64(len(answers)), Failed: 3}
				eventually(t, fmt.Sprintf("stats %+v", stats), func() bool { return s.Stats() == stats })
			})
		}
	}
}

// callFib calls fib for all that has an answer at once, and checks the results.
func callFib(t *testing.T, c *rpc.Client) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var wg sync.WaitGroup
	defer wg.Wait()
	for n, want := range answers {
		wg.Go(func() {
			if got, err := fib.Call(ctx, c, n); err != nil || got != want {
				t.Errorf("fib(%d): got %v, %v, want %d", n, got, err, want)
			}
		})
	}
}

// A client calls servers that know nothing of errand.
func TestForeignServers(t *testing.T) {
	t.Parallel()
	for _, p := range peers() {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			url := rabbit.URL(t)
			p.serve(t, url)
			for _, direct := range []bool{false, true} {
				c := newClient(t, dial(t, url), rpc.ClientConfig{DirectReplyTo: direct})
				callFib(t, c)
				if got := c.Stats(); got != (rpc.ClientStats{}) {
					t.Errorf("direct %v: got %+v at the end, want nothing waiting and nothing late", direct, got)
				}
			}
			dialRaw(t, url).empty(rpcQueue)
		})
	}
}

// A server joins others on a queue that is theirs, as one does who replaces them one by one.
func TestServersBesideForeignOnes(t *testing.T) {
	t.Parallel()
	for _, p := range peers() {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			url := rabbit.URL(t)
			p.serve(t, url)
			s := rpc.NewServer(dial(t, url), rpc.ServerConfig{Concurrency: 1, Logger: quiet})
			rpc.Handle(s, rpc.Define[int, int](fib.Name(), rpc.Queue(rpcQueue, topology.Existing())), answer)
			serve(t, s)
			r := dialRaw(t, url)
			eventually(t, "two servers", func() bool { return r.consumers(rpcQueue) == 2 })
			c := newClient(t, dial(t, url), rpc.ClientConfig{})
			calls := uint64(0)
			eventually(t, "both have answered", func() bool {
				callFib(t, c)
				calls += uint64(len(answers))
				ours := s.Stats().Answered
				return ours > 0 && ours < calls
			})
			if got := p.call(t, url, "", "20", "3"); !slices.Equal(got, []string{"6765", "2"}) {
				t.Errorf("got %q, want 6765 and 2", got)
			}
		})
	}
}
