package ours

import (
	"context"
	"errors"

	"github.com/errandq/errand/bench/contest"
	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/rpc"
)

var echo = rpc.Define[contest.Args, contest.Args]("bench.calls")

// A caller makes calls.
type caller struct {
	conn   *broker.Conn
	client *rpc.Client
}

func dialCaller(ctx context.Context, url string, direct bool) (*caller, error) {
	conn, err := broker.Dial(ctx, url, broker.Config{Logger: quiet})
	if err != nil {
		return nil, err
	}
	return &caller{conn, rpc.NewClient(conn, rpc.ClientConfig{DirectReplyTo: direct})}, nil
}

// Call implements [contest.Caller].
func (c *caller) Call(ctx context.Context, a contest.Args) (contest.Args, error) {
	return echo.Call(ctx, c.client, a)
}

// Close implements [contest.Client].
func (c *caller) Close() error { return errors.Join(c.client.Close(), c.conn.Close()) }

// serve answers calls until ctx ends. It is ready when it has answered one.
func serve(ctx context.Context, url string, ready func()) (err error) {
	conn, err := broker.Dial(ctx, url, broker.Config{Logger: quiet})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	s := rpc.NewServer(conn, rpc.ServerConfig{Concurrency: contest.CallSlots, Prefetch: contest.CallSlots, Logger: quiet})
	rpc.Handle(s, echo, func(_ context.Context, a contest.Args) (contest.Args, error) { return a, nil })
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	if err := tryCall(ctx, url); err != nil {
		stop()
		return errors.Join(err, <-ended)
	}
	ready()
	return <-ended
}

// tryCall makes one call, as soon as there is a queue for it.
func tryCall(ctx context.Context, url string) (err error) {
	c, err := dialCaller(ctx, url, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	for {
		if _, err = c.Call(ctx, contest.Args{}); !errors.Is(err, rpc.ErrNoServer) {
			return err
		}
	}
}
