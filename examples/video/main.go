// Command video shows one event that becomes five jobs, and one job that follows when all five
// are done: videos are uploaded, each is made into three formats, thumbnails and metadata, and
// then announced. It uses the RabbitMQ of AMQP_URL, or starts a private one. It fails if
// anything is missing at the end.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/errandq/errand/devserver"
	"github.com/errandq/errand/examples/video/format"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "video:", err)
		os.Exit(1)
	}
}

// patience is how long the videos may take; something is wrong then.
const patience = 5 * time.Minute

func run(ctx context.Context) (err error) {
	videos := flag.Int("videos", 3, "videos to upload")
	dir := flag.String("dir", "", "directory for the files (default a new one)")
	flag.Parse()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if *dir == "" {
		if *dir, err = os.MkdirTemp("", "errand-video-"); err != nil {
			return err
		}
	}
	server, err := devserver.Start(ctx, devserver.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	url, err := server.NewVhost(ctx)
	if err != nil {
		return err
	}
	s := newSession(*dir, format.Find(), *videos)
	s.say("%s", server.How())
	s.say("the formats are %s", s.maker)
	if err := s.run(ctx, url); err != nil {
		return err
	}
	return s.report()
}
