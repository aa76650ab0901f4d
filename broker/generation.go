package broker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// A generation is one AMQP connection, from its handshake to its end. Everything on it,
// channels, consumers and confirms, dies with it; nothing is carried over to the next, so
// nothing can be answered on the wrong one.
type generation struct {
	number   uint64
	endpoint endpoint
	amqp     *amqp.Connection
	socket   *socket
	closes   chan *amqp.Error
	blocks   chan amqp.Blocking
	dead     chan struct{} // closed when it is over
	late     atomic.Bool   // given up, because a confirm did not come
	confirms atomic.Bool   // at least one came
	opening  sync.Mutex    // whoever opens a channel holds it

	mu      sync.Mutex
	blocked string        // the server's reason; empty: not blocked
	free    chan struct{} // closed when not blocked
}

func newGeneration(number uint64, e endpoint, conn *amqp.Connection, s *socket) *generation {
	g := &generation{
		number:   number,
		endpoint: e,
		amqp:     conn,
		socket:   s,
		closes:   conn.NotifyClose(make(chan *amqp.Error, 1)),
		blocks:   conn.NotifyBlocked(make(chan amqp.Blocking, 8)),
		dead:     make(chan struct{}),
		free:     make(chan struct{}),
	}
	close(g.free)
	return g
}

// serve waits for the end of the connection, and returns why it came. If ctx ends first it
// says goodbye and returns nil.
func (g *generation) serve(ctx context.Context, onBlocked func(amqp.Blocking)) error {
	defer close(g.dead)
	for {
		select {
		case <-ctx.Done():
			// Not CloseDeadline: each frame that comes in meanwhile makes the library move the
			// deadline to that of the heartbeats.
			timer := time.AfterFunc(closeTimeout, func() { g.socket.fail(ErrClosed) })
			// The error would only tell that the peer did not say goodbye in time.
			_ = g.amqp.Close()
			timer.Stop()
			g.kill(ErrClosed)
			return nil
		case b, open := <-g.blocks:
			if !open {
				g.blocks = nil // the close notice follows
				continue
			}
			g.setBlocked(b)
			onBlocked(b)
		case err := <-g.closes:
			g.kill(ErrClosed)
			switch {
			case g.late.Load():
				return errLate
			case err == nil: // closed by our own side
				return ErrClosed
			}
			return err
		}
	}
}

var errLate = errors.New("broker: given up, because a confirm did not come")

// giveUp ends the connection because a confirm does not come on it.
func (g *generation) giveUp() {
	g.late.Store(true)
	g.socket.fail(errLate)
}

// kill closes the socket under the connection: every call on it returns.
func (g *generation) kill(err error) {
	g.socket.fail(err)
	<-g.socket.finished
}

// call runs f, which waits for an answer of the server and takes no context. If the answer
// does not come in time the connection counts as dead.
func (g *generation) call(what string, f func() error) error {
	timer := time.AfterFunc(callTimeout, func() {
		g.socket.fail(fmt.Errorf("broker: no answer to %s within %v", what, callTimeout))
	})
	defer timer.Stop()
	return f()
}

func (g *generation) setBlocked(b amqp.Blocking) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.socket.pause(b.Active)
	if b.Active == (g.blocked != "") {
		return
	}
	if b.Active {
		g.blocked = "blocked: " + b.Reason
		g.free = make(chan struct{})
		return
	}
	g.blocked = ""
	close(g.free)
}

// blockedBy is the reason why the server takes no messages, or empty.
func (g *generation) blockedBy() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.blocked
}

// whenFree waits until the server takes messages again, or g or ctx is over.
func (g *generation) whenFree(ctx context.Context) error {
	g.mu.Lock()
	free, reason := g.free, g.blocked
	g.mu.Unlock()
	select {
	case <-free:
		return nil
	default:
	}
	select {
	case <-free:
		return nil
	case <-g.dead:
		return nil // the next use of g finds out
	case <-ctx.Done():
		return fmt.Errorf("%w: %s: %w", ErrBlocked, reason, context.Cause(ctx))
	}
}

// version is the server's, as it said in the handshake.
func (g *generation) version() string {
	v, _ := g.amqp.Properties["version"].(string)
	return v
}
