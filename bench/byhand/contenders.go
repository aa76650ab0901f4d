package byhand

import (
	"context"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/errandq/errand/bench/contest"
)

// All are the contenders of this package.
func All() []contest.Contender { return []contest.Contender{Naive(), careful()} }

var kinds = []contest.Kind{
	contest.Enqueue, contest.Batch, contest.Consume, contest.Through, contest.Waiting, contest.Hold,
	contest.Paced, contest.Delayed, contest.Calls, contest.Direct,
}

// Naive is the contender that all others are compared with.
func Naive() contest.Contender {
	return contender(contest.Base, false, "amqp091-go by hand, one connection: each job published mandatory and persistent, deferred confirms, "+
		"batches with 1000 unconfirmed at most; one loop that decodes and acks each job, or as many goroutines as the work has handlers; "+
		"delays by a quorum queue with TTL and at-least-once dead-lettering; calls by a map of waiting callers to a classic queue")
}

func careful() contest.Contender {
	return contender("careful", true, "the same with writes to the socket joined (amqp.Config.Dial), 64 KiB read buffer, acks of contiguous tags joined (multiple), "+
		"one connection for publishing and one for consuming")
}

func contender(name string, careful bool, about string) contest.Contender {
	return contest.Contender{
		Name: name, About: about, Server: contest.RabbitMQ, Does: kinds,
		Open: func(ctx context.Context, url string, w contest.Work) (contest.Client, error) {
			if w.Kind == contest.Calls || w.Kind == contest.Direct {
				return dialCaller(ctx, url, w, careful)
			}
			return dial(url, w, careful)
		},
		Serve: func(ctx context.Context, url string, _ contest.Work, ready func()) error {
			return serve(ctx, url, careful, ready)
		},
	}
}

// connect dials one way or the other.
func connect(url string, careful bool) (*amqp.Connection, error) {
	if !careful {
		return amqp.Dial(url)
	}
	return amqp.DialConfig(url, amqp.Config{Locale: "en_US", Dial: dialJoined})
}
