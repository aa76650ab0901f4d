package integration_test

import (
	"context"
	"errors"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/job"
)

// changed is serverURL after change.
func changed(t *testing.T, serverURL string, change func(*url.URL)) string {
	t.Helper()
	u, err := url.Parse(serverURL)
	if err != nil {
		t.Fatal(err)
	}
	change(u)
	return u.String()
}

// deaf is an address at which connections are refused.
func deaf(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return l.Addr().String()
}

// mute is an address at which connections are accepted and nothing is ever said.
func mute(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") // the kernel accepts
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l.Addr().String()
}

func TestDialErrors(t *testing.T) {
	t.Parallel()
	const secret = "s3cr3t!/%?"
	good := rabbit.URL(t)
	password := func(u *url.URL) { u.User = url.UserPassword(u.User.Username(), secret) }
	for _, c := range []struct {
		name string
		url  string
		want []string // words of the error
		soon bool     // trying again is useless
	}{
		{
			name: "wrong password",
			url:  changed(t, good, password),
			want: []string{"wrong password"},
			soon: true,
		},
		{
			name: "unknown user",
			url:  changed(t, good, func(u *url.URL) { u.User = url.UserPassword("nobody", secret) }),
			want: []string{"wrong password, or no user", "nobody"},
			soon: true,
		},
		{
			name: "missing vhost",
			url:  changed(t, good, func(u *url.URL) { u.Path = "/nowhere" }),
			want: []string{"virtual host", "nowhere"},
			soon: true,
		},
		{
			name: "connection refused",
			url:  changed(t, good, func(u *url.URL) { password(u); u.Host = deaf(t) }),
			want: []string{"refused", "is RabbitMQ running there?"},
		},
		{
			name: "no answer",
			url:  changed(t, good, func(u *url.URL) { password(u); u.Host = mute(t) }),
			want: []string{"no answer"},
		},
		{
			name: "unknown host",
			url:  changed(t, good, func(u *url.URL) { password(u); u.Host = "nowhere.invalid:5672" }),
			want: []string{"nowhere.invalid"},
		},
		{
			name: "plain text for TLS",
			url:  changed(t, good, func(u *url.URL) { password(u); u.Scheme = "amqps" }),
			want: []string{"TLS"},
			soon: true,
		},
		{
			name: "other scheme",
			url:  "http://user:" + url.QueryEscape(secret) + "@localhost",
			want: []string{"URL number 1", "amqp://"},
			soon: true,
		},
		{
			name: "no URL at all",
			url:  "amqp://user:" + secret + "@local host:port",
			want: []string{"URL number 1", "amqp://"},
			soon: true,
		},
		{
			name: "second URL is bad",
			url:  good + ",amqp://user:" + url.QueryEscape(secret) + "@localhost:port",
			want: []string{"URL number 2"},
			soon: true,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			limit := 2 * time.Second
			if c.soon {
				limit = patience
			}
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			conn, err := broker.Dial(ctx, c.url, broker.Config{Logger: quiet})
			if err == nil {
				t.Fatal("got a connection, want an error", conn.Close())
			}
			for _, word := range c.want {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("got %q, want %q in it", err, word)
				}
			}
			for _, form := range []string{secret, url.QueryEscape(secret), url.PathEscape(secret), "s3cr3t"} {
				if strings.Contains(err.Error(), form) {
					t.Errorf("the error tells the password: %v", err)
				}
			}
			if errors.Is(err, context.DeadlineExceeded) == c.soon {
				t.Errorf("got %v, want to hear of it at once: %v", err, c.soon)
			}
		})
	}
}

func TestDialFindsTheNodeThatIsUp(t *testing.T) {
	t.Parallel()
	good := rabbit.URL(t)
	down := changed(t, good, func(u *url.URL) { u.Host = deaf(t) })
	for range 5 { // in random order
		conn := dial(t, down+", "+good)
		if s := conn.Status(); s.Publish.State != broker.Connected || !s.Ready() {
			t.Errorf("got %+v, want it connected", s)
		}
	}
}

// A node goes down, and the other one takes over.
func TestFailover(t *testing.T) {
	t.Parallel()
	url := rabbit.URL(t)
	one, two := newProxy(t, url), newProxy(t, url)
	conn := dial(t, one.url+","+two.url)
	r := dialRaw(t, url)
	for i, p := range []*proxy{one, two, one} {
		p.setDown(true)
		enqueue(t, conn, job.Define[numbered]("failover").New(numbered{i}))
		other := one
		if p == one {
			other = two
		}
		if got := conn.Status().Publish.Endpoint; !strings.Contains(got, other.listener.Addr().String()) {
			t.Errorf("got endpoint %s, want %s", got, other.listener.Addr())
		}
		p.setDown(false)
	}
	eventually(t, "all jobs", func() bool { return r.ready(job.DefaultQueue) == 3 })
}
