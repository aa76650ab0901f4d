package main

import (
	"context"
	"errors"
	"os/exec"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/errandq/errand/bench/contest"
)

// The two servers of asynq.
const (
	redisEverySecond = "Redis, appendfsync everysec"
	redisAlways      = "Redis, appendfsync always"
)

type redisServer struct {
	*private
	version string
	url     string
	client  *redis.Client
}

// startRedis returns what starts a Redis that says a job is there when it is on disk, or only
// every second, according to fsync.
func startRedis(fsync string) contest.Starter {
	return func(ctx context.Context) (_ contest.Server, err error) {
		program, err := find("redis-server")
		if err != nil {
			return nil, err
		}
		version, err := exec.CommandContext(ctx, program, "--version").Output()
		if err != nil {
			return nil, err
		}
		port, err := freePort()
		if err != nil {
			return nil, err
		}
		p, err := newPrivate("redis")
		if err != nil {
			return nil, err
		}
		s := &redisServer{private: p, url: "redis://127.0.0.1:" + port + "/0"}
		s.version = strings.TrimSpace(string(version)) + "; appendonly yes, appendfsync " + fsync + `, save "", else its defaults`
		s.client = redis.NewClient(&redis.Options{Addr: "127.0.0.1:" + port})
		err = p.serve("kill -KILL", program, "--port", port, "--bind", "127.0.0.1", "--dir", p.dir,
			"--save", "", "--appendonly", "yes", "--appendfsync", fsync)
		if err == nil {
			err = p.await(ctx, func(ctx context.Context) error { return s.client.Ping(ctx).Err() })
		}
		if err != nil {
			return nil, errors.Join(err, s.Stop())
		}
		return s, nil
	}
}

// Version implements [contest.Server].
func (s *redisServer) Version() string { return s.version }

// PID implements [contest.Server].
func (s *redisServer) PID() int { return s.pid() }

// Space implements [contest.Server]: all of it, emptied afterwards.
func (s *redisServer) Space(context.Context) (string, func(context.Context) error, error) {
	return s.url, func(ctx context.Context) error { return s.client.FlushAll(ctx).Err() }, nil
}

// Stop implements [contest.Server].
func (s *redisServer) Stop() error { return errors.Join(s.client.Close(), s.stop()) }
