package broker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/errandq/errand/topology"
)

// A leaderless queue, called sick: as RabbitMQ does it, a channel that has sent something to
// it does nothing any more until the queue is well.
type leaderless struct {
	mu    sync.Mutex
	well  bool
	stuck map[string][]*request // what came after on each channel, answers not given
}

func newLeaderless(s *server) *leaderless {
	l := &leaderless{stuck: map[string][]*request{}}
	for _, m := range []string{"basic.publish", "channel.close"} {
		s.on(m, func(r *request) {
			if !l.holds(r) {
				r.answer()
			}
		})
	}
	return l
}

// holds reports whether the answer to r has to wait.
func (l *leaderless) holds(r *request) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	ch := fmt.Sprintf("%p %d", r.peer, r.channel)
	waiting, stuck := l.stuck[ch]
	if l.well || !stuck && r.key != "sick" {
		return false
	}
	l.stuck[ch] = append(waiting, r)
	return true
}

// recover has all stuck channels go on.
func (l *leaderless) recover() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.well = true
	for _, rs := range l.stuck {
		for _, r := range rs {
			r.answer()
		}
	}
	l.stuck = nil
}

func (c *Conn) apart() int {
	c.pubs.mu.Lock()
	defer c.pubs.mu.Unlock()
	return len(c.pubs.apart)
}

func TestQueueWithoutLeaderHoldsUpOthersOnce(t *testing.T) {
	t.Parallel()
	withServer(t, func(t *testing.T, s *server, c *Conn) {
		l := newLeaderless(s)
		sick := publishing(t.Context(), c, Message{ID: "sick", Key: "sick"})
		publish := func(id string, allowed time.Duration) {
			t.Helper()
			began := time.Now()
			if err := c.Publish(t.Context(), Message{ID: id, Key: "healthy"}); err != nil {
				t.Errorf("%s: %v", id, err)
			}
			if took := time.Since(began); took > allowed {
				t.Errorf("%s took %v, want %v at most", id, took, allowed)
			}
		}
		publish("first", confirmPatience+time.Second)
		for i := range 100 {
			time.Sleep(3 * time.Second)
			publish(fmt.Sprint(i), 0)
			if i%10 == 0 { // more of the same, given up soon
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				err := c.Publish(ctx, Message{ID: "more", Key: "sick"})
				cancel()
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("to the sick queue: got %v, want the deadline", err)
				}
			}
		}
		if n := c.apart(); n != 1 {
			t.Errorf("%d targets are kept apart, want the sick one", n)
		}
		l.recover()
		if err := <-sick; err != nil {
			t.Error(err)
		}
		synctest.Wait()
		time.Sleep(time.Minute)
		if err := c.Publish(t.Context(), Message{ID: "cured", Key: "sick"}); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if n := c.apart(); n != 0 {
			t.Errorf("%d targets are kept apart, want none", n)
		}
		if n := len(s.seen("connection.open")); n != 2 {
			t.Errorf("%d connections were made, want 2", n)
		}
		if opened, closed := len(s.seen("channel.open")), len(s.seen("channel.close")); opened-closed != 2 {
			// The shared one, and that of the connection that was given up.
			t.Errorf("%d channels were opened and %d closed, want two left", opened, closed)
		}
	})
}

// What the innocent had in flight with the sick is sent again, and told apart from it.
func TestInnocentsAreTogetherAgainAfterOneConfirm(t *testing.T) {
	t.Parallel()
	withServer(t, func(t *testing.T, s *server, c *Conn) {
		l := newLeaderless(s)
		sick := publishing(t.Context(), c, Message{ID: "sick", Key: "sick"})
		var innocent []<-chan error
		for i := range 50 {
			innocent = append(innocent, publishing(t.Context(), c, Message{ID: fmt.Sprint(i), Key: fmt.Sprint("queue ", i%5)}))
		}
		for _, done := range innocent {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if n := c.apart(); n != 1 {
			t.Errorf("%d targets are kept apart, want the sick one", n)
		}
		l.recover()
		if err := <-sick; err != nil {
			t.Error(err)
		}
		if n := c.apart(); n != 0 {
			t.Errorf("%d targets are kept apart, want none", n)
		}
	})
}

// A channel apart takes few messages, so that the server goes on reading.
func TestSickTargetHasASmallWindow(t *testing.T) {
	t.Parallel()
	withServer(t, func(t *testing.T, s *server, c *Conn) {
		l := newLeaderless(s)
		ms := numberedMessages(3 * apartWindow)
		for i := range ms {
			ms[i].Key = "sick"
		}
		done := publishing(t.Context(), c, ms...)
		time.Sleep(confirmPatience + time.Second)
		if err := c.Publish(t.Context(), Message{ID: "healthy", Key: "healthy"}); err != nil {
			t.Error(err)
		}
		s.forget()
		time.Sleep(5 * confirmPatience)
		if n := len(sentIDs(s)); n > apartWindow {
			t.Errorf("%d messages are in flight, want %d", n, apartWindow)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := c.Publish(ctx, Message{ID: "another", Exchange: "x", Key: "sick"}); !errors.Is(err, ErrNotConnected) {
			t.Errorf("got %v, want ErrNotConnected: nothing of it was sent", err)
		}
		l.recover()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// Callers that don't wait for long must not keep a sick queue from being found out.
func TestSickQueueIsFoundThoughItsCallersHaveGone(t *testing.T) {
	t.Parallel()
	withServer(t, func(t *testing.T, s *server, c *Conn) {
		newLeaderless(s)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := c.Publish(ctx, Message{ID: "1", Key: "sick"}); !errors.Is(err, ErrUnconfirmed) {
			t.Errorf("got %v, want ErrUnconfirmed", err)
		}
		time.Sleep(confirmPatience + time.Second)
		if n := c.apart(); n != 1 {
			t.Errorf("%d targets are kept apart, want 1", n)
		}
		began := time.Now()
		if err := c.Publish(t.Context(), Message{ID: "2", Key: "healthy"}); err != nil || time.Since(began) > 0 {
			t.Errorf("got %v after %v, want it confirmed at once", err, time.Since(began))
		}
	})
}

// A node that is cut off from the others takes connections, and confirms nothing, or does not
// even declare.
func TestNodeThatDoesNotAnswerIsTriedLast(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		nodes := map[string]*server{"a:5672": newServer(t), "b:5672": newServer(t), "c:5672": newServer(t)}
		var last string // the node dialled last; one at a time
		c, err := Dial(t.Context(), "amqp://a,amqp://b,amqp://c", Config{Logger: quiet, dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
			last = addr
			return nodes[addr].dial(ctx, network, addr)
		}})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close() //nolint:errcheck // it never fails
		if err := c.Declare(t.Context(), topology.Work("", "pdf")); err != nil {
			t.Fatal(err)
		}
		for range 10 {
			silent := last
			nodes[silent].on("basic.publish", func(*request) {})
			nodes[silent].on("exchange.declare", func(*request) {})
			if err := c.Publish(t.Context(), Message{ID: "1", Key: silent}); err != nil {
				t.Error(err)
			}
			if last == silent {
				t.Errorf("connected to %s again, which does not confirm", silent)
			}
			nodes[silent].on("basic.publish", nil)

			nodes[last].peer().cut()
			began := time.Now()
			if err := c.Publish(t.Context(), Message{ID: "2", Key: silent}); err != nil {
				t.Error(err)
			}
			if took := time.Since(began); took > prepareTimeout+5*time.Second {
				t.Errorf("it took %v to get by a node that does not declare, want %v", took, prepareTimeout)
			}
			nodes[silent].on("exchange.declare", nil)
		}
	})
}
