package devserver

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"
)

// A machine that has the address of the container's gateway has a way to the container.
func TestContainerBesideUsIsReachedDirectly(t *testing.T) {
	s := runInContainer(t, Options{})
	node := s.backend.(*containerNode)
	container, err := node.container.Inspect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range container.NetworkSettings.Networks {
		if !ours(t, n.Gateway) {
			t.Skipf("the gateway %v of the containers is not on this machine", n.Gateway)
		}
		if got, want := node.endpoint.url.Host, net.JoinHostPort(n.IPAddress.String(), "5672"); got != want {
			t.Errorf("the server is at %s, want %s", got, want)
		}
	}
}

// ours reports whether this machine has the address.
func ours(t *testing.T, a netip.Addr) bool {
	t.Helper()
	all, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, have := range all {
		if p, err := netip.ParsePrefix(have.String()); err == nil && p.Addr() == a {
			return true
		}
	}
	return false
}

func TestAddressOfSomebodyElseIsNotOurs(t *testing.T) {
	t.Parallel()
	stranger := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusUnauthorized)
	}))
	defer stranger.Close()
	swallows, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer swallows.Close()
	port := func(a net.Addr) int { return a.(*net.TCPAddr).Port }
	conf := settings{user: "errand", password: "ours"}
	for name, c := range map[string]struct {
		own          netip.Addr
		amqp, manage int
	}{
		"none":              {},
		"nobody's":          {netip.MustParseAddr("127.0.0.1"), 1, 1},
		"one that swallows": {netip.MustParseAddr("127.0.0.1"), port(swallows.Addr()), port(swallows.Addr())},
		"not RabbitMQ's":    {netip.MustParseAddr("127.0.0.1"), port(stranger.Listener.Addr()), port(stranger.Listener.Addr())},
	} {
		conf.amqp, conf.manage = c.amqp, c.manage
		began := time.Now()
		if _, ok := reach(t.Context(), conf, c.own); ok {
			t.Errorf("an address that is %s counts as ours", name)
		}
		if took := time.Since(began); took > 2*answerTimeout {
			t.Errorf("an address that is %s took %v", name, took)
		}
	}
}

// The password tells our node from another RabbitMQ.
func TestAnotherRabbitMQIsNotOurs(t *testing.T) {
	t.Parallel()
	amqp := startPeer(t)
	for password, want := range map[string]bool{"ours": true, "theirs": false} {
		api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, got, _ := r.BasicAuth(); got != password {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			_, _ = w.Write([]byte(`{"rabbitmq_version":"4.0.5"}`))
		}))
		conf := settings{user: "errand", password: "ours", amqp: amqp, manage: api.Listener.Addr().(*net.TCPAddr).Port}
		e, ok := reach(t.Context(), conf, netip.MustParseAddr("127.0.0.1"))
		if ok != want {
			t.Errorf("a server with %s password counts as ours: %v", password, ok)
		}
		if ok {
			e.manage.close()
		}
		api.Close()
	}
}

// startPeer starts a server that offers AMQP 0-9-1 to whoever greets it, and returns its port.
func startPeer(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if _, err := io.ReadFull(conn, make([]byte, 8)); err == nil {
				_, _ = conn.Write([]byte{1, 0, 0, 0, 0, 0, 4, 0, 10, 0, 10})
			}
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return l.Addr().(*net.TCPAddr).Port
}
