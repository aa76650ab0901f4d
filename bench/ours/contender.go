package ours

import (
	"context"
	"log/slog"

	"github.com/errandq/errand/bench/contest"
)

// quiet keeps the tables readable. What is logged at all is as with the default logger.
var quiet = slog.New(slog.NewTextHandler(nowhere{}, nil))

type nowhere struct{}

func (nowhere) Write(p []byte) (int, error) { return len(p), nil }

// Contender is errand.
func Contender() contest.Contender {
	return contest.Contender{
		Name:   "errand",
		About:  "defaults, logger at its default level; batches of 10,000 jobs in one call; handlers as many as the work has, else up to 100; a call's server has as many handlers as its prefetch",
		Server: contest.RabbitMQ,
		Does: []contest.Kind{
			contest.Enqueue, contest.Batch, contest.Consume, contest.Through, contest.Waiting,
			contest.Paced, contest.Delayed, contest.Hops, contest.Ladder, contest.Hold, contest.Mixed, contest.Calls, contest.Direct,
		},
		Open: func(ctx context.Context, url string, w contest.Work) (contest.Client, error) {
			if w.Kind == contest.Calls || w.Kind == contest.Direct {
				return dialCaller(ctx, url, w.Kind == contest.Direct)
			}
			return Dial(ctx, url, w)
		},
		Serve: func(ctx context.Context, url string, _ contest.Work, ready func()) error {
			return serve(ctx, url, ready)
		},
	}
}
