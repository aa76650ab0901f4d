package integration_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/event"
	"github.com/errandq/errand/job"
	"github.com/errandq/errand/producer"
	"github.com/errandq/errand/rpc"
	"github.com/errandq/errand/topology"
	"github.com/errandq/errand/worker"
)

// secret is in all passwords here, and survives escaping.
const secret = "tr0ub4dor"

// A sieve looks for the secret in whatever it is given, printed in all ways. It is a handler
// of log records, too.
type sieve struct {
	t     *testing.T
	count *atomic.Int64 // of what it was given
}

func newSieve(t *testing.T) *sieve { return &sieve{t, new(atomic.Int64)} }

// look wants that no way to print v tells the secret.
func (s *sieve) look(where string, v any) {
	s.count.Add(1)
	texts := []string{fmt.Sprintf("%v", v), fmt.Sprintf("%+v", v), fmt.Sprintf("%#v", v), fmt.Sprintf("%s", v), fmt.Sprintf("%q", v)}
	if b, err := json.Marshal(v); err == nil { // else it has no such form
		texts = append(texts, string(b))
	}
	for _, text := range texts {
		for _, form := range []string{secret, hex.EncodeToString([]byte(secret)), strings.Trim(fmt.Sprint([]byte(secret)), "[]"), strings.Trim(fmt.Sprintf("%#v", []byte(secret)), "[]byte{}")} {
			if strings.Contains(text, form) {
				s.t.Errorf("%s tells the password: %.2000s", where, text)
				return
			}
		}
	}
}

// errors looks at err and at all that it wraps.
func (s *sieve) errors(where string, err error) {
	if err == nil {
		return
	}
	s.look(where, err)
	switch u := err.(type) {
	case interface{ Unwrap() error }:
		s.errors(where, u.Unwrap())
	case interface{ Unwrap() []error }:
		for _, e := range u.Unwrap() {
			s.errors(where, e)
		}
	}
}

func (s *sieve) Enabled(context.Context, slog.Level) bool { return true }

func (s *sieve) Handle(_ context.Context, r slog.Record) error {
	s.look("a log line", r.Message)
	r.Attrs(func(a slog.Attr) bool { s.attr(r.Message, a); return true })
	return nil
}

func (s *sieve) attr(where string, a slog.Attr) {
	v := a.Value.Resolve().Any()
	s.look(fmt.Sprintf("%q, attribute %s", where, a.Key), v)
	if err, ok := v.(error); ok {
		s.errors(where, err)
	}
}

func (s *sieve) WithAttrs(as []slog.Attr) slog.Handler {
	for _, a := range as {
		s.attr("a logger", a)
	}
	return s
}

func (s *sieve) WithGroup(string) slog.Handler { return s }

// What is no URL, or leads nowhere, holds a password all the same.
func TestPasswordInNoDialError(t *testing.T) {
	t.Parallel()
	s := newSieve(t)
	for _, between := range []string{"", "@", ":", "/", "?", "#", "%", "%zz", " ", "\t", "\n", ",", ",amqp", ",amqp://", "&", "\\", "[", "]", "//", "\"", "é", "\x00", "\xff", "$", "+"} {
		password := secret + between + secret
		for _, form := range []string{
			"amqp://user:%s@127.0.0.1:1/",
			"amqps://user:%s@127.0.0.1:1/vhost",
			"amqp://user:%s@127.0.0.1:1/a/b",
			"amqp://user:%s@127.0.0.1:port",
			"amqp://user:%s@127.0.0.1:99999",
			"amqp://user:%s@127.0.0.1:1?heartbeat=x",
			"amqps://user:%s@127.0.0.1:1?cacertfile=/nowhere",
			"amqp://user:%s@",
			"amqp://:%s@127.0.0.1:1",
			"user:%s@127.0.0.1:1",
			"http://user:%s@127.0.0.1:1",
			"amqp://127.0.0.1:1,amqp://user:%s@local host",
		} {
			for _, p := range []string{password, url.QueryEscape(password), url.PathEscape(password)} {
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
				conn, err := broker.Dial(ctx, fmt.Sprintf(form, p), broker.Config{Logger: slog.New(s)})
				cancel()
				if err == nil {
					t.Fatal("got a connection, want an error", conn.Close())
				}
				s.errors(fmt.Sprintf("the error of %q", form), err)
			}
		}
	}
	t.Logf("looked at %d values", s.count.Load())
}

// A connection's life with a password, from which it appears nowhere.
func TestPasswordAppearsNowhere(t *testing.T) {
	t.Parallel()
	s := newSieve(t)
	vhost := rabbit.URL(t)
	admin := newAdministrator(t, rabbit.Server(t).ManagementURL(), vhost)
	all := permissions{".*", ".*", ".*"}
	login := admin.userWith("user-"+secretless(t), secret+"!/%?", all)
	p := newProxy(t, login)
	conn := dialWith(t, p.url, broker.Config{Logger: slog.New(s)})
	life := newLife(t, conn, slog.New(s))
	look := func(when string) {
		s.look(when+": Status", conn.Status())
		s.errors(when+": Status", conn.Status().Publish.Err)
		s.errors(when+": Status", conn.Status().Consume.Err)
		s.look(when+": Stats", []any{life.worker.Stats(), life.server.Stats(), life.client.Stats()})
	}
	look("connected")
	s.names(admin)

	p.cut()
	life.work()
	look("after a cut")
	p.setDown(true)
	eventually(t, "the error of an outage", func() bool { return conn.Status().Publish.Err != nil && conn.Status().Consume.Err != nil })
	look("in an outage")
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	s.errors("Enqueue in an outage", life.producer.Enqueue(ctx, render.New(numbered{1})))
	_, err := thumbnail.Call(ctx, life.client, numbered{1})
	s.errors("Call in an outage", err)

	admin.password(userOf(t, login), "another")
	p.setDown(false)
	refused := func(err error) bool { return strings.Contains(fmt.Sprint(err), "password") }
	eventually(t, "a refused login", func() bool { return refused(conn.Status().Publish.Err) && refused(conn.Status().Consume.Err) })
	look("locked out")
	admin.password(userOf(t, login), secret+"!/%?")
	life.work()
	look("in again")
	if n := s.count.Load(); n < 100 {
		t.Errorf("it looked at %d values, want many", n)
	}
	t.Logf("looked at %d values", s.count.Load())
}

// Errors of the server quote the user, and not the password.
func TestPasswordInNoRefusal(t *testing.T) {
	t.Parallel()
	s := newSieve(t)
	vhost := rabbit.URL(t)
	admin := newAdministrator(t, rabbit.Server(t).ManagementURL(), vhost)
	if err := dial(t, vhost).Declare(t.Context(), topology.Work("", "pdf")); err != nil {
		t.Fatal(err)
	}
	weak := admin.userWith("user-"+secretless(t), secret, permissions{nothing, nothing, nothing})
	conn := dialWith(t, weak, broker.Config{Logger: slog.New(s)})
	mute := dialWith(t, weak, broker.Config{Logger: slog.New(s), NoDeclare: true})
	w := worker.New(mute, worker.Config{Logger: slog.New(s)})
	worker.Handle(w, render, handle)
	wrong := changed(t, weak, func(u *url.URL) { u.User = url.UserPassword(u.User.Username(), secret+"x") })
	nowhere := changed(t, weak, func(u *url.URL) { u.Path = "/nowhere" })
	for what, f := range map[string]func() error{
		"Declare": func() error { return conn.Declare(t.Context(), topology.Work("", "pdf")) },
		"Publish": func() error {
			return mute.Publish(t.Context(), broker.Message{ID: "1", Exchange: "errand.jobs", Key: "pdf"})
		},
		"Enqueue": func() error {
			return producer.New(mute, producer.Config{}).Enqueue(t.Context(), render.New(numbered{1}))
		},
		"Run": func() error { return w.Run(t.Context()) },
		"Call": func() error {
			_, err := thumbnail.Call(t.Context(), newClient(t, mute, rpc.ClientConfig{}), numbered{1})
			return err
		},
		"Dial with a wrong password": func() error { return dialFails(t, wrong, slog.New(s)) },
		"Dial to no virtual host":    func() error { return dialFails(t, nowhere, slog.New(s)) },
		"Dial with TLS to none":      func() error { return dialFails(t, strings.Replace(weak, "amqp:", "amqps:", 1), slog.New(s)) },
	} {
		err := f()
		if err == nil {
			t.Errorf("%s: got no error, want it refused", what)
		}
		s.errors(what, err)
	}
}

// A log says which endpoint it speaks of, whatever its form.
func TestLogTellsTheEndpoint(t *testing.T) {
	t.Parallel()
	server := rabbit.URL(t)
	b := &logbook{}
	conn := dialWith(t, server, broker.Config{Logger: slog.New(slog.NewJSONHandler(b, nil))})
	want := `"endpoint":"` + conn.Status().Publish.Endpoint + `"`
	if lines := b.lines(`"connected"`, want); len(lines) != 1 || !strings.Contains(want, "amqp://") {
		t.Errorf("got %q, want %s in it", b.lines(""), want)
	}
}

func dialFails(t *testing.T, url string, log *slog.Logger) error {
	conn, err := broker.Dial(t.Context(), url, broker.Config{Logger: log})
	if err == nil {
		err = conn.Close()
	}
	return err
}

// secretless is a name for a user that is unique and has nothing to do with a password.
func secretless(t *testing.T) string {
	t.Helper()
	return strings.ReplaceAll(job.NewID(), "-", "")
}

func userOf(t *testing.T, login string) string {
	t.Helper()
	u, err := url.Parse(login)
	if err != nil {
		t.Fatal(err)
	}
	return u.User.Username()
}

// names wants that what RabbitMQ shows of connections to everybody who may look does not
// have the secret.
func (s *sieve) names(admin *administrator) {
	s.t.Helper()
	eventually(s.t, "connections in RabbitMQ's pages", func() bool {
		all := admin.call(http.MethodGet, "/api/vhosts"+admin.url.Path+"/connections", nil)
		s.look("RabbitMQ's pages", string(all))
		return bytes.Contains(all, []byte(s.t.Name()+" consume")) && bytes.Contains(all, []byte(s.t.Name()+" publish"))
	})
}

// A life is a program with one of everything on a connection.
type life struct {
	t        *testing.T
	producer *producer.Producer
	worker   *worker.Worker
	server   *rpc.Server
	client   *rpc.Client
	conn     *broker.Conn
	done     chan int
}

func newLife(t *testing.T, conn *broker.Conn, log *slog.Logger) *life {
	t.Helper()
	l := &life{
		t:        t,
		producer: producer.New(conn, producer.Config{}),
		worker:   worker.New(conn, worker.Config{Logger: log}),
		server:   rpc.NewServer(conn, rpc.ServerConfig{Logger: log}),
		conn:     conn,
		done:     make(chan int, 100),
	}
	done := func(_ context.Context, n numbered) error {
		l.done <- n.N
		return nil
	}
	worker.Handle(l.worker, render, done)
	event.Subscribe(l.worker, orderPlaced, billing, done)
	event.Subscribe(l.worker, orderPlaced, event.Temporary(), done)
	rpc.Handle(l.server, thumbnail, func(_ context.Context, n numbered) (int, error) { return n.N, nil })
	start(t, l.worker)
	serve(t, l.server)
	l.client = newClient(t, conn, rpc.ClientConfig{})
	l.work()
	return l
}

// work sends one of everything, and waits for a job, an event and a call. Of calls some may
// fail after an outage.
func (l *life) work() {
	l.t.Helper()
	enqueue(l.t, l.conn, render.New(numbered{1}))
	publish(l.t, l.producer, orderPlaced, numbered{2})
	for seen := map[int]bool{}; len(seen) < 2; {
		seen[receive(l.t, "a job and an event", l.done)] = true
	}
	eventually(l.t, "a call", func() bool {
		ctx, cancel := context.WithTimeout(l.t.Context(), time.Second)
		defer cancel()
		_, err := thumbnail.Call(ctx, l.client, numbered{3})
		return err == nil
	})
}
