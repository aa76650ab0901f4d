package broker

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// listen makes the server take connections over TCP as well, and returns the address.
func (s *server) listen(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			raw, err := l.Accept()
			if err != nil {
				return
			}
			if err := s.accept(raw); err != nil {
				t.Error(err)
			}
		}
	}()
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		<-done
	})
	return l.Addr().String()
}

// The whole way once over TCP, as programs go it; the other tests simulate the network.
func TestDialOverTCP(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	c, err := Dial(ctx, "amqp://u:"+secret+"@"+s.listen(t)+"/shop", Config{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	cancel() // it no longer matters
	s.on("basic.publish", func(r *request) {
		s.deliverContent(t, "pdf", r.content)
		r.ack()
	})
	consuming, stop := context.WithCancel(t.Context())
	defer stop()
	got, done := make(chan *Delivery), make(chan error, 1)
	s.on("basic.consume", func(r *request) {
		r.answer()
		go func() { done <- c.Publish(t.Context(), Message{ID: "1"}) }()
	})
	ended := make(chan error, 1)
	go func() {
		ended <- c.Consume(consuming, Subscription{Queue: "pdf"}, func(d *Delivery) { got <- d })
	}()
	d := <-got
	if err := d.Ack(); err != nil || d.ID != "1" {
		t.Errorf("got message %q, ack: %v", d.ID, err)
	}
	stop()
	for _, e := range []<-chan error{done, ended} {
		if err := <-e; err != nil {
			t.Error(err)
		}
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if r := s.last(t, "connection.open"); r.vhost != "shop" {
		t.Errorf("got virtual host %q, want shop", r.vhost)
	}
	if r := s.last(t, "connection.start-ok"); r.kind != "PLAIN" || r.user != "u" || r.password != secret {
		t.Errorf("got user %q by %s, want u with the password by PLAIN", r.user, r.kind)
	}
	if goodbyes := s.seen("connection.close"); len(goodbyes) != 2 || goodbyes[0].code != 200 {
		t.Errorf("got %v, want both connections to say goodbye", goodbyes)
	}
}

// dialOnce dials in a bubble, and returns how long it took and the error that must come.
func dialOnce(ctx context.Context, t *testing.T, url string, cfg Config) (time.Duration, error) {
	t.Helper()
	cfg.Logger = quiet
	began := time.Now()
	c, err := Dial(ctx, url, cfg)
	took := time.Since(began)
	if err == nil {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		t.Fatal("Dial: no error")
	}
	if _, ok := errors.AsType[*DialError](err); !ok || strings.Contains(err.Error(), secret) {
		t.Errorf("got %v, want a DialError without the password", err)
	}
	return took, err
}

func TestDialGivesUpOnWhatCannotHelp(t *testing.T) {
	t.Parallel()
	silence := func(r *request) { // as RabbitMQ answers a wrong password
		time.Sleep(3 * time.Second)
		r.peer.cut()
	}
	tests := []struct {
		name, method string
		script       func(*request)
		url, want    string
		took         time.Duration
	}{
		{"wrong password", "connection.start-ok", func(r *request) { r.abort(amqp.AccessRefused) }, "amqp://u:" + secret + "@rabbit/shop", `no user "u"`, 0},
		{"wrong password, in silence", "connection.start-ok", silence, "amqp://u:" + secret + "@rabbit", `no user "u"`, 6 * time.Second},
		{"unknown certificate", "connection.start-ok", func(r *request) { r.abort(amqp.AccessRefused) }, "amqp://rabbit?auth_mechanism=external", "client certificate", 0},
		{"vhost refused", "connection.open", func(r *request) { r.abort(amqp.NotAllowed) }, "amqp://u:" + secret + "@rabbit/shop", `virtual host "shop"`, 0},
		{"two that agree", "connection.open", func(r *request) { r.abort(amqp.NotAllowed) }, "amqp://u:" + secret + "@rabbit,amqp://rabbit2", "rabbit2", 0},
	}
	for _, test := range tests {
		synctest.Test(t, func(t *testing.T) {
			s := newServer(t)
			s.on(test.method, test.script)
			took, err := dialOnce(t.Context(), t, test.url, Config{dial: s.dial})
			if !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "amqp://rabbit") {
				t.Errorf("%s: got %v, want the endpoint and %q", test.name, err, test.want)
			}
			if took < test.took || took > test.took+time.Second {
				t.Errorf("%s: it took %v, want %v", test.name, took, test.took)
			}
		})
	}
}

func TestDialHasPatience(t *testing.T) {
	t.Parallel()
	troubles := map[string]struct {
		script func(s *server)
		want   string
	}{
		"nobody listens":         {func(s *server) { s.setDown(true) }, "is RabbitMQ running there?"},
		"cut when it has opened": {func(s *server) { s.on("connection.open", func(r *request) { r.peer.cut() }) }, errCutInHandshake.Error()},
		"no answer":              {func(s *server) { s.on("connection.start-ok", func(r *request) { r.peer.stall() }) }, "no answer to the AMQP handshake"},
	}
	for name, trouble := range troubles {
		synctest.Test(t, func(t *testing.T) {
			s := newServer(t)
			trouble.script(s)
			took, err := dialOnce(t.Context(), t, "amqp://rabbit", Config{dial: s.dial})
			if !strings.Contains(err.Error(), trouble.want) || took != dialPatience {
				t.Errorf("%s: got %v after %v, want %q after %v", name, err, took, trouble.want, dialPatience)
			}
			ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errCut)
			defer cancel()
			if took, err := dialOnce(ctx, t, "amqp://rabbit", Config{dial: s.dial}); !errors.Is(err, errCut) || took != time.Second {
				t.Errorf("%s: got %v after %v, want the cause of the context's end", name, err, took)
			}
		})
	}
}

// What may be final is told rather than that the time was up.
func TestDialTellsTheErrorThatSaysMost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.first(1, "connection.start-ok", func(r *request) { r.peer.cut(); s.setDown(true) })
		if _, err := dialOnce(t.Context(), t, "amqp://u:"+secret+"@rabbit", Config{dial: s.dial}); !strings.Contains(err.Error(), `no user "u"`) {
			t.Errorf("got %v, want the doubt about the password", err)
		}
	})
}

// So is what was the matter before the last try, which the end of the time has cut short.
func TestDialTellsTheErrorBeforeTheLastTry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.on("connection.start-ok", func(*request) {})
		s.setDown(true)
		time.AfterFunc(dialPatience/2, func() { s.setDown(false) })
		took, err := dialOnce(t.Context(), t, "amqp://rabbit", Config{dial: s.dial})
		if !strings.Contains(err.Error(), "is RabbitMQ running there?") || took != dialPatience {
			t.Errorf("got %v after %v, want that nobody listened, after %v", err, took, dialPatience)
		}
	})
}

func TestDialWaitsForAServerThatComesUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.setDown(true)
		time.AfterFunc(dialPatience/2, func() { s.setDown(false) })
		c := s.connect(t, Config{})
		if st := c.Status(); !st.Ready() || st.Publish.Version != "4.1.0" || st.Publish.Generation != 1 {
			t.Errorf("got %+v, want the first connection", st)
		}
	})
}

func TestDialTakesTheNodeThatAnswers(t *testing.T) {
	t.Parallel()
	for range 8 { // they are tried in random order
		synctest.Test(t, func(t *testing.T) {
			s := newServer(t)
			up := func(ctx context.Context, network, addr string) (net.Conn, error) {
				if addr != "b:5673" {
					return nil, errCut
				}
				return s.dial(ctx, network, addr)
			}
			c, err := Dial(t.Context(), "amqp://a,amqp://b:5673/shop,amqp://c", Config{dial: up, Logger: quiet})
			if err != nil {
				t.Fatal(err)
			}
			if got, want := c.Status().Publish.Endpoint, "amqp://b:5673/shop"; got != want {
				t.Errorf("got %q, want %q", got, want)
			}
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// In TLS 1.3 the server refuses a client after the client's own handshake is done.
func TestDialWithoutTheCertificateThatTheServerWants(t *testing.T) {
	t.Parallel()
	cert, key := selfSigned(t)
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	addr := serve(t, func(raw net.Conn) {
		c := tls.Server(raw, &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAnyClientCert, MinVersion: tls.VersionTLS13})
		if err := c.Handshake(); err == nil {
			t.Error("the server took a client without a certificate")
		}
	})
	err = dialFor(t, dialPatience, "amqps://"+addr+"?cacertfile="+cert+"&server_name_indication=localhost")
	if !strings.Contains(err.Error(), "does it want a client certificate?") || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want a hint at once", err)
	}
}
