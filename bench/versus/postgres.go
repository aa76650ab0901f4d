package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"

	"github.com/errandq/errand/bench/contest"
)

const postgreSQL = "PostgreSQL"

type postgresServer struct {
	*private
	port    string
	version string
	spaces  int
	admin   *pgx.Conn // to a database of no use
}

// template is the database that each sample gets a copy of.
const template = "bench_template"

func startPostgreSQL(ctx context.Context) (_ contest.Server, err error) {
	initdb, err := find("initdb")
	if err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	p, err := newPrivate("postgres")
	if err != nil {
		return nil, err
	}
	s := &postgresServer{private: p, port: port}
	if err := s.start(ctx, initdb); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

func (s *postgresServer) start(ctx context.Context, initdb string) error {
	data := filepath.Join(s.dir, "data")
	if err := s.run(initdb, "-D", data, "-U", "bench", "-A", "trust", "-E", "UTF8"); err != nil {
		return err
	}
	err := s.serve("kill -QUIT", filepath.Join(filepath.Dir(initdb), "postgres"), "-D", data, "-k", s.dir,
		"-c", "listen_addresses=127.0.0.1", "-c", "port="+s.port)
	if err != nil {
		return err
	}
	err = s.await(ctx, func(ctx context.Context) (err error) {
		s.admin, err = pgx.Connect(ctx, s.url("postgres"))
		return err
	})
	if err != nil {
		return err
	}
	if err := s.admin.QueryRow(ctx, "SHOW server_version").Scan(&s.version); err != nil {
		return err
	}
	return s.migrate(ctx)
}

// migrate makes the database that others are copies of.
func (s *postgresServer) migrate(ctx context.Context) error {
	if _, err := s.admin.Exec(ctx, "CREATE DATABASE "+template); err != nil {
		return err
	}
	pool, err := pgxpool.New(ctx, s.url(template))
	if err != nil {
		return err
	}
	defer pool.Close()
	m, err := rivermigrate.New(riverpgxv5.New(pool), &rivermigrate.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	_, err = m.Migrate(ctx, rivermigrate.DirectionUp, nil)
	return err
}

func (s *postgresServer) url(database string) string {
	return "postgres://bench@127.0.0.1:" + s.port + "/" + database
}

// Version implements [contest.Server].
func (s *postgresServer) Version() string {
	return "PostgreSQL " + s.version + " with its defaults: fsync and synchronous_commit on, shared_buffers 128 MB"
}

// PID implements [contest.Server].
func (s *postgresServer) PID() int { return s.pid() }

// Space implements [contest.Server]: a database.
func (s *postgresServer) Space(ctx context.Context) (string, func(context.Context) error, error) {
	s.spaces++
	name := fmt.Sprintf("bench_%d", s.spaces)
	if _, err := s.admin.Exec(ctx, "CREATE DATABASE "+name+" TEMPLATE "+template); err != nil {
		return "", nil, err
	}
	return s.url(name), func(ctx context.Context) error {
		_, err := s.admin.Exec(ctx, "DROP DATABASE "+name+" WITH (FORCE)")
		return err
	}, nil
}

// Stop implements [contest.Server].
func (s *postgresServer) Stop() error {
	var err error
	if s.admin != nil {
		err = s.admin.Close(context.Background())
	}
	return errors.Join(err, s.stop())
}
