package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
	_ "modernc.org/sqlite" // the driver

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/event"
	"github.com/errandq/errand/examples/video/format"
	"github.com/errandq/errand/examples/video/sample"
	"github.com/errandq/errand/examples/video/studio"
	"github.com/errandq/errand/group"
	"github.com/errandq/errand/producer"
	"github.com/errandq/errand/worker"
)

// A session uploads videos and works them.
type session struct {
	files  studio.Files
	maker  format.Maker
	videos []studio.Video
	board  *board
}

func newSession(dir string, maker format.Maker, videos int) *session {
	s := &session{files: studio.Files(dir), maker: maker, board: newBoard(videos)}
	for i := range videos {
		s.videos = append(s.videos, studio.Video{Name: fmt.Sprintf("video-%d", i+1)})
	}
	return s
}

func (s *session) say(text string, args ...any) {
	fmt.Printf("%s  %s\n", time.Now().Format("15:04:05.000"), fmt.Sprintf(text, args...))
}

// run returns when all videos are ready.
func (s *session) run(ctx context.Context, url string) (err error) {
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	conn, err := broker.Dial(ctx, url, broker.Config{Logger: log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	store, db, err := openStore(ctx, string(s.files))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()

	p := producer.New(conn, producer.Config{})
	w := worker.New(conn, worker.Config{
		Concurrency: 2,
		Middleware:  []worker.Middleware{group.Count(store, p)}, // this is what counts the five
		Logger:      log,
	})
	work := &studio.Studio{
		Files: s.files,
		Maker: s.maker,
		Say:   func(v studio.Video, text string) { s.say("%s: %s", v.Name, text) },
		Ready: s.board.announce,
	}
	work.Register(w, p)

	working, stop := context.WithCancel(ctx)
	both, ctx := errgroup.WithContext(ctx)
	both.Go(func() error { return w.Run(working) })
	both.Go(func() error {
		defer stop() // the worker finishes what it is at
		return s.upload(ctx, p)
	})
	return both.Wait()
}

// openStore opens the count of the groups. It is a file, so that workers of several processes
// can share it.
func openStore(ctx context.Context, dir string) (*group.SQL, *sql.DB, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, nil, err
	}
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "groups.db")+"?_pragma=busy_timeout(10000)&_pragma=journal_mode(wal)")
	if err != nil {
		return nil, nil, err
	}
	db.SetMaxOpenConns(1)
	store := group.NewSQL(db, group.SQLite)
	if err := store.Create(ctx); err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	return store, db, nil
}

// upload stores the videos, tells of them, and returns when they are ready.
func (s *session) upload(ctx context.Context, p *producer.Producer) error {
	for _, v := range s.videos {
		if err := s.files.Upload(v, sample.Video, sample.Poster); err != nil {
			return err
		}
		if err := tell(ctx, p, v); err != nil {
			return err
		}
		s.say("%s: uploaded", v.Name)
	}
	return s.board.await(ctx)
}

// tell publishes that a video has come. Nobody may have subscribed yet, in a program that has
// just begun: an event that must be heard says so, and is published again.
func tell(ctx context.Context, p *producer.Producer, v studio.Video) error {
	for {
		err := studio.Uploaded.Publish(ctx, p, v, event.Mandatory())
		if !errors.Is(err, event.ErrUnmatched) {
			return err
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// report says what is there, and is an error if something is not.
func (s *session) report() error {
	wrong := 0
	for _, v := range s.videos {
		missing, err := s.files.Missing(v)
		if err != nil {
			return err
		}
		times, jobs := s.board.of(v)
		mark := "ok"
		if len(missing) > 0 || jobs != 1 {
			mark = "WRONG"
			wrong++
		}
		fmt.Printf("  %s: files missing: %d; announced by one job: %v, which ran %d times  %s\n", v.Name, len(missing), jobs == 1, times, mark)
	}
	fmt.Println("The files are in", string(s.files))
	if wrong > 0 {
		return fmt.Errorf("%d of %d videos are wrong", wrong, len(s.videos))
	}
	return nil
}
