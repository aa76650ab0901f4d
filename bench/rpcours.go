package main

import (
	"context"
	"errors"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/rpc"
)

var echo = rpc.Define[args, args]("bench.rpc.errand")

// ourCaller makes the same calls by errand.
type ourCaller struct {
	conn   *broker.Conn
	client *rpc.Client
}

func dialOurCaller(direct bool) func(context.Context, string) (caller, error) {
	return func(ctx context.Context, url string) (caller, error) {
		conn, err := broker.Dial(ctx, url, broker.Config{Logger: quiet})
		if err != nil {
			return nil, err
		}
		return &ourCaller{conn, rpc.NewClient(conn, rpc.ClientConfig{DirectReplyTo: direct})}, nil
	}
}

func (o *ourCaller) call(ctx context.Context, a args) (args, error) {
	return echo.Call(ctx, o.client, a)
}

func (o *ourCaller) close() error { return errors.Join(o.client.Close(), o.conn.Close()) }

// serveOurs answers calls until ctx ends. It is ready when it has answered one.
func serveOurs(ctx context.Context, url string, ready func()) (err error) {
	conn, err := broker.Dial(ctx, url, broker.Config{Logger: quiet})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	s := rpc.NewServer(conn, rpc.ServerConfig{Concurrency: callSlots, Prefetch: callSlots, Logger: quiet})
	rpc.Handle(s, echo, func(_ context.Context, a args) (args, error) { return a, nil })
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
	c, err := dialOurCaller(false)(ctx, url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	for {
		if _, err = c.call(ctx, payload); !errors.Is(err, rpc.ErrNoServer) {
			return err
		}
	}
}
