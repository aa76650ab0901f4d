package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	driver "github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite" // the driver of that name
)

// A Ledger is the table of orders in one database. It is safe for concurrent use. Make it with Open.
type Ledger struct {
	db *sql.DB
	dialect
}

// Open opens the database at rawURL and makes the table if there is none:
//
//	sqlite:archive.db                   a file, made if there is none
//	postgres://user:password@host/name  options as for libpq
//	mysql://user:password@host/name     MySQL or MariaDB, options as for the driver
//
// The errors don't repeat the URL, which may hold a password.
func Open(ctx context.Context, rawURL string) (*Ledger, error) {
	l, err := open(rawURL)
	if err != nil {
		return nil, fmt.Errorf("ledger: open: %w", err)
	}
	if _, err := l.db.ExecContext(ctx, l.create); err != nil {
		return nil, errors.Join(fmt.Errorf("ledger: create the table: %w", err), l.db.Close())
	}
	return l, nil
}

func open(rawURL string) (*Ledger, error) {
	scheme, rest, _ := strings.Cut(rawURL, ":")
	switch scheme {
	case "sqlite":
		return openSQLite(rest)
	case "postgres", "postgresql":
		cfg, err := pgx.ParseConfig(rawURL)
		if err != nil {
			return nil, err
		}
		return &Ledger{stdlib.OpenDB(*cfg), postgres}, nil
	case "mysql":
		return openMySQL(rawURL)
	default:
		return nil, errors.New("want a URL of the scheme sqlite, postgres or mysql")
	}
}

// openSQLite makes commits outlast a power cut, and lets several processes write, one after the other.
func openSQLite(file string) (*Ledger, error) {
	if file == "" {
		return nil, errors.New("sqlite: want a file's name behind the colon")
	}
	options := url.Values{
		"_pragma":      {"journal_mode(WAL)", "synchronous(FULL)", "busy_timeout(10000)"},
		"_time_format": {"sqlite"},
	}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: file}).EscapedPath()+"?"+options.Encode())
	if err != nil {
		return nil, err
	}
	return &Ledger{db, sqlite}, nil
}

// openMySQL turns the URL into what the driver knows.
func openMySQL(rawURL string) (*Ledger, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		if parse, ok := errors.AsType[*url.Error](err); ok {
			err = parse.Err
		}
		return nil, err
	}
	cfg := driver.NewConfig()
	cfg.Net, cfg.Addr = "tcp", u.Host
	if u.Port() == "" {
		cfg.Addr = net.JoinHostPort(u.Hostname(), "3306")
	}
	cfg.User, cfg.DBName = u.User.Username(), strings.TrimPrefix(u.Path, "/")
	cfg.Passwd, _ = u.User.Password()
	cfg.ParseTime = true
	cfg.InterpolateParams = true // one round trip for an insert, not two
	if cfg, err = driver.ParseDSN(cfg.FormatDSN() + "&" + u.RawQuery); err != nil {
		return nil, err
	}
	cfg.Logger = &driver.NopLogger{} // what matters comes as an error
	connector, err := driver.NewConnector(cfg)
	if err != nil {
		return nil, err
	}
	return &Ledger{sql.OpenDB(connector), mysql}, nil
}

// Close closes the database.
func (l *Ledger) Close() error { return l.db.Close() }
