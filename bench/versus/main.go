package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"

	"github.com/errandq/errand/bench/byhand"
	"github.com/errandq/errand/bench/contest"
	"github.com/errandq/errand/bench/ours"
)

func main() {
	if contest.Child(contenders()) {
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "versus:", err)
		os.Exit(1)
	}
}

// contenders are in the order of the tables.
func contenders() []contest.Contender {
	all := append(byhand.All(), ours.Contender(), wagslane())
	all = append(all, watermills()...)
	all = append(all, asynqs()...)
	return append(all, rivers()...)
}

func servers() map[string]contest.Starter {
	return map[string]contest.Starter{
		contest.RabbitMQ: contest.StartRabbit,
		redisEverySecond: startRedis("everysec"),
		redisAlways:      startRedis("always"),
		postgreSQL:       startPostgreSQL,
	}
}

func run(ctx context.Context) error {
	var options contest.Options
	options.AddTo(flag.CommandLine)
	flag.Parse()
	return contest.Contest{
		Contenders: contenders(),
		Scaled:     []contest.Contender{byhand.Naive(), ours.Contender()},
		Servers:    servers(),
		Log:        os.Stdout,
	}.Measure(ctx, options)
}
