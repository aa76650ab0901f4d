package jobtest

import (
	"fmt"
	"maps"
	"time"
)

// A death is one line of x-death.
type death struct {
	queue, reason, exchange, key string // the latter two as it was the first time
	count                        int64
	at                           time.Time     // the first time
	expiration                   time.Duration // that it had
}

// Reasons for dead-lettering, in RabbitMQ's words.
const (
	rejected      = "rejected"
	expired       = "expired"
	maxlen        = "maxlen"
	deliveryLimit = "delivery_limit"
)

// deadLetter moves m where the queue's dead letters go, or drops it.
func (q *queue) deadLetter(m *message, reason string) {
	x, has := q.args["x-dead-letter-exchange"].(string)
	if !has {
		return
	}
	dead := &message{Message: m.Message, born: m.born, deaths: m.die(q, reason), took: map[*queue]bool{}}
	dead.Exchange, dead.Expiration = x, 0
	if key, has := q.args["x-dead-letter-routing-key"].(string); has {
		dead.Key = key
	}
	dead.Headers = dead.deathHeaders()
	if !q.server.forward(dead, reason) && q.atLeastOnce() {
		q.stuck = append(q.stuck, dead)
		q.retryLater()
	}
}

// atLeastOnce reports whether the queue keeps dead letters until they are taken. RabbitMQ
// does so only for one that refuses what is too much.
func (q *queue) atLeastOnce() bool {
	return q.text("x-dead-letter-strategy") == "at-least-once" && q.text("x-overflow") == "reject-publish"
}

// forward routes a dead letter. It returns false unless all its queues take it.
func (s *server) forward(dead *message, reason string) bool {
	targets, _ := s.route(&dead.Message)
	taken := len(targets) > 0
	for _, target := range targets {
		if dead.took[target] {
			continue
		}
		if target.full(&dead.Message) || reason != rejected && dead.goesInCircles(target) {
			taken = false
			continue
		}
		dead.took[target] = true
		copied := *dead
		copied.took = nil
		s.seq++
		copied.seq = s.seq
		target.put(&copied)
	}
	return taken
}

// goesInCircles reports whether m has been in q before without being rejected since.
func (m *message) goesInCircles(q *queue) bool {
	for _, d := range m.deaths {
		if d.reason == rejected {
			return false
		}
		if d.queue == q.name {
			return true
		}
	}
	return false
}

// die is the message's deaths with one more.
func (m *message) die(q *queue, reason string) []death {
	d := death{queue: q.name, reason: reason, exchange: m.Exchange, key: m.Key, at: time.Now(), expiration: m.Expiration}
	rest := make([]death, 0, len(m.deaths)+1)
	for _, old := range m.deaths {
		if old.queue == d.queue && old.reason == d.reason {
			d = old
			continue
		}
		rest = append(rest, old)
	}
	d.count++
	return append([]death{d}, rest...)
}

// deathHeaders are the message's headers with the ones that RabbitMQ adds to a dead letter.
func (m *message) deathHeaders() map[string]any {
	headers := maps.Clone(m.Headers)
	if headers == nil {
		headers = map[string]any{}
	}
	var list []any
	for _, d := range m.deaths {
		line := map[string]any{
			"queue": d.queue, "reason": d.reason, "exchange": d.exchange,
			"routing-keys": []any{d.key}, "count": d.count, "time": time.Unix(d.at.Unix(), 0),
		}
		if d.expiration > 0 {
			line["original-expiration"] = fmt.Sprint(d.expiration.Milliseconds())
		}
		list = append(list, line)
	}
	headers["x-death"] = list
	last, first := m.deaths[0], m.deaths[len(m.deaths)-1]
	headers["x-last-death-queue"] = last.queue
	headers["x-last-death-reason"] = last.reason
	headers["x-last-death-exchange"] = last.exchange
	if _, has := headers["x-first-death-queue"]; !has {
		headers["x-first-death-queue"] = first.queue
		headers["x-first-death-reason"] = first.reason
		headers["x-first-death-exchange"] = first.exchange
	}
	return headers
}

// stuckPause is how long RabbitMQ waits before it tries again what was not taken.
const stuckPause = 3 * time.Minute

func (q *queue) retryLater() {
	if q.retry != nil || q.server.closed {
		return
	}
	q.retry = time.AfterFunc(stuckPause, func() {
		q.server.mu.Lock()
		defer q.server.mu.Unlock()
		q.retry = nil
		q.retryStuck()
	})
}

// retryStuck tries dead letters again that nobody took.
func (q *queue) retryStuck() {
	stuck := q.stuck
	q.stuck = nil
	for _, dead := range stuck {
		if !q.server.forward(dead, dead.deaths[0].reason) {
			q.stuck = append(q.stuck, dead)
			q.retryLater()
		}
	}
}
