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
	swallows := listen(t)
	conf := settings{user: "errand", password: "ours"}
	for name, c := range map[string]struct {
		own          netip.Addr
		amqp, manage int
	}{
		"none":              {},
		"nobody's":          {netip.MustParseAddr("127.0.0.1"), 1, 1},
		"one that swallows": {netip.MustParseAddr("127.0.0.1"), port(swallows), port(swallows)},
		"not RabbitMQ's":    {netip.MustParseAddr("127.0.0.1"), port(stranger.Listener), port(stranger.Listener)},
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
	for password, want := range map[string]bool{"ours": true, "theirs": false} {
		amqp, offered := listen(t), make(chan error, 1)
		go func() { offered <- offer(amqp) }()
		api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, got, _ := r.BasicAuth(); got != password {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			_, _ = w.Write([]byte(`{"rabbitmq_version":"4.0.5"}`))
		}))
		conf := settings{user: "errand", password: "ours", amqp: port(amqp), manage: port(api.Listener)}
		e, ok := reach(t.Context(), conf, netip.MustParseAddr("127.0.0.1"))
		if ok != want {
			t.Errorf("a server with %s password counts as ours: %v", password, ok)
		}
		if ok {
			e.manage.close()
		}
		api.Close()
		amqp.Close()
		if err := <-offered; err != nil {
			t.Errorf("AMQP was not asked for: %v", err)
		}
	}
}

// offer answers the first who greets with AMQP 0-9-1, as RabbitMQ begins to.
func offer(l net.Listener) error {
	conn, err := l.Accept()
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := io.ReadFull(conn, make([]byte, 8)); err != nil {
		return err
	}
	_, err = conn.Write([]byte{1, 0, 0, 0, 0, 0, 4, 0, 10, 0, 10})
	return err
}

// listen listens on a free port until the test ends.
func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func port(l net.Listener) int { return l.Addr().(*net.TCPAddr).Port }
