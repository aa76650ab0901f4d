package byhand

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/errandq/errand/bench/contest"
)

const (
	callQueue     = "bench.calls"
	directReplyTo = "amq.rabbitmq.reply-to"
	callTimeout   = 30 * time.Second // errand's default
)

// A caller makes calls as one writes it with care: one connection, one channel for requests
// and replies, and a map of the calls that wait.
type caller struct {
	conn    *amqp.Connection
	ch      *amqp.Channel
	replyTo string
	last    atomic.Uint64
	gone    chan struct{} // closed when no more replies come

	mu      sync.Mutex
	waiting map[string]chan amqp.Delivery
}

func dialCaller(_ context.Context, url string, w contest.Work, careful bool) (*caller, error) {
	conn, err := connect(url, careful)
	if err != nil {
		return nil, err
	}
	c := &caller{conn: conn, replyTo: directReplyTo, gone: make(chan struct{}), waiting: map[string]chan amqp.Delivery{}}
	if err := c.open(w.Kind == contest.Direct); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return c, nil
}

func (c *caller) open(direct bool) (err error) {
	if c.ch, err = c.conn.Channel(); err != nil {
		return err
	}
	if !direct {
		q, err := c.ch.QueueDeclare("", false, true, true, false, nil)
		if err != nil {
			return err
		}
		c.replyTo = q.Name
	}
	replies, err := c.ch.Consume(c.replyTo, "", true, true, false, false, nil)
	if err != nil {
		return err
	}
	go c.receive(replies)
	return nil
}

func (c *caller) receive(replies <-chan amqp.Delivery) {
	defer close(c.gone)
	for d := range replies {
		c.mu.Lock()
		reply := c.waiting[d.CorrelationId]
		delete(c.waiting, d.CorrelationId)
		c.mu.Unlock()
		if reply != nil {
			reply <- d // has room for it
		}
	}
}

// Call implements [contest.Caller].
func (c *caller) Call(ctx context.Context, a contest.Args) (got contest.Args, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	body, err := json.Marshal(a)
	if err != nil {
		return got, err
	}
	id := strconv.FormatUint(c.last.Add(1), 36)
	reply := make(chan amqp.Delivery, 1)
	c.mu.Lock()
	c.waiting[id] = reply
	c.mu.Unlock()
	err = c.ch.PublishWithContext(ctx, "", callQueue, false, false, amqp.Publishing{
		ContentType:   "application/json",
		DeliveryMode:  amqp.Transient,
		CorrelationId: id,
		ReplyTo:       c.replyTo,
		Body:          body,
	})
	if err != nil {
		c.forget(id)
		return got, err
	}
	select {
	case d := <-reply:
		err = json.Unmarshal(d.Body, &got)
		return got, err
	case <-ctx.Done():
		c.forget(id)
		return got, ctx.Err()
	case <-c.gone:
		c.forget(id)
		return got, errors.New("connection lost")
	}
}

func (c *caller) forget(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.waiting, id)
}

// Close implements [contest.Client].
func (c *caller) Close() error {
	err := c.conn.Close()
	<-c.gone
	return err
}
