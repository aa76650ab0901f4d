package broker

import (
	"errors"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// errStarved: RabbitMQ has messages ready for the consumer and sends none.
var errStarved = errors.New("consumer got nothing, though messages were ready, and is replaced")

// watchEvery is how often a consumer that holds nothing is looked after. Two looks in a row
// have to find the same, so one that is starved is replaced within a minute.
const watchEvery = 20 * time.Second

// guard replaces the consumer when it starves: RabbitMQ and its clients know states in which
// a consumer is registered and gets nothing, for ever. It is no fault to get nothing from an
// empty queue, or while deliveries are unanswered.
func (s *session) guard() {
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	before, starved := s.taken.Load(), 0
	for {
		select {
		case <-s.gone:
			return
		case <-s.over:
			return
		case <-ticker.C:
		}
		if s.gen.blockedBy() != "" {
			starved = 0
			continue // no answer would come, and the connection would count as dead
		}
		taken := s.taken.Load()
		idle := taken == before && s.acks.empty()
		before = taken
		if !idle {
			starved = 0
			continue
		}
		ready, err := s.ready()
		if code(err) == amqp.AccessRefused {
			return // RabbitMQ 4.3.0 wants a permission for it that workers need not have
		}
		if err != nil || ready == 0 || s.taken.Load() != before {
			starved = 0
			continue
		}
		if starved++; starved == 2 {
			close(s.starved)
			return
		}
	}
}

// ready is how many messages wait in the queue, as far as RabbitMQ tells: it says zero, too,
// when a quorum queue does not answer in time.
func (s *session) ready() (n int, err error) {
	ch, err := s.gen.channel(nil) // of its own, because an error closes it
	if err != nil {
		return 0, err
	}
	defer s.gen.closeChannel(ch)
	err = s.gen.call("queue.declare", func() error {
		q, err := ch.QueueDeclarePassive(s.queue, true, false, false, false, nil)
		n = q.Messages
		return err
	})
	return n, err
}
