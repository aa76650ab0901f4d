package main

import (
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/errandq/errand/bench/chaos/book"
	"github.com/errandq/errand/bench/chaos/role"
	"github.com/errandq/errand/topology"
	amqp "github.com/rabbitmq/amqp091-go"
)

// queues looks into the queues, on a connection that no proxy harms.
type queues struct{ url string }

// lookLimit bounds a look into a queue: one without a leader never answers.
const lookLimit = 20 * time.Second

// with runs f on a new connection and a new channel.
func (q queues) with(f func(*amqp.Channel) error) (err error) {
	var socket net.Conn
	conn, err := amqp.DialConfig(q.url, amqp.Config{Dial: func(network, address string) (_ net.Conn, err error) {
		socket, err = net.DialTimeout(network, address, lookLimit)
		return socket, err
	}})
	if err != nil {
		return err
	}
	alarm := time.AfterFunc(lookLimit, func() { _ = socket.Close() }) // the call that waits says why
	defer alarm.Stop()
	defer func() { err = errors.Join(err, conn.Close()) }()
	ch, err := conn.Channel()
	if err != nil {
		return err
	}
	return f(ch)
}

// waiting are the queues in which jobs are on their way: those of work, and the ladder.
func waiting() []string {
	all := append([]string{}, role.Queues...)
	for _, queue := range topology.Ladder("", longestDelay).Queues {
		if queue.Name != topology.Namespace("").Parked() {
			all = append(all, queue.Name)
		}
	}
	return all
}

// ready counts the messages in queues. Those that don't exist have none.
func (q queues) ready(names []string) (n int, err error) {
	for _, name := range names {
		err := q.with(func(ch *amqp.Channel) error {
			state, err := ch.QueueDeclarePassive(name, true, false, false, false, nil)
			n += state.Messages
			return err
		})
		if err != nil && !missing(err) {
			return n, err
		}
	}
	return n, nil
}

func missing(err error) bool {
	e, ok := errors.AsType[*amqp.Error](err)
	return ok && e.Code == amqp.NotFound
}

// exists reports whether there is a queue.
func (q queues) exists(name string) (bool, error) {
	err := q.with(func(ch *amqp.Channel) error {
		_, err := ch.QueueDeclarePassive(name, true, false, false, false, nil)
		return err
	})
	if missing(err) {
		return false, nil
	}
	return err == nil, err
}

// delete removes a queue with all that is in it, under its consumers.
func (q queues) delete(name string) error {
	return q.with(func(ch *amqp.Channel) error {
		_, err := ch.QueueDelete(name, false, false, false)
		return err
	})
}

// settle enters what is left in the queues.
func (q queues) settle(b *book.Book) error {
	for _, name := range role.Queues {
		if err := q.empty(topology.DeadQueue(name), func(d *amqp.Delivery) { b.Dead(d.MessageId, reason(d)) }); err != nil {
			return err
		}
	}
	for _, name := range append(waiting(), topology.Namespace("").Parked()) {
		if err := q.empty(name, func(d *amqp.Delivery) { b.Left(d.MessageId, name) }); err != nil {
			return err
		}
	}
	return nil
}

// reason is why a job was dead-lettered: by errand, or by RabbitMQ itself.
func reason(d *amqp.Delivery) string {
	for _, header := range []string{"errand-reason", "x-first-death-reason"} {
		if text, ok := d.Headers[header].(string); ok {
			return text
		}
	}
	return "none given"
}

// empty takes all messages of a queue. Quorum queues say now and then that they are empty
// when they are only busy, so it takes two times.
func (q queues) empty(name string, f func(*amqp.Delivery)) error {
	err := q.with(func(ch *amqp.Channel) error {
		for times := 0; times < 2; {
			d, ok, err := ch.Get(name, true)
			if err != nil {
				return err
			}
			if ok {
				f(&d)
				continue
			}
			times++
		}
		return nil
	})
	if err != nil && !missing(err) {
		return fmt.Errorf("queue %s: %w", name, err)
	}
	return nil
}
