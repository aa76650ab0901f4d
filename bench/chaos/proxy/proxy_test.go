package proxy_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/errandq/errand/bench/chaos/proxy"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// connect returns both ends of a connection through a proxy.
func connect(t *testing.T) (p *proxy.Proxy, client, server net.Conn) {
	t.Helper()
	p, another := listen(t)
	client, server = another()
	talk(t, client, server)
	talk(t, server, client)
	return p, client, server
}

// listen starts a proxy, and returns what connects through it.
func listen(t *testing.T) (p *proxy.Proxy, connect func() (client, server net.Conn)) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	if p, err = proxy.Listen(l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p, func() (client, server net.Conn) {
		t.Helper()
		client, err := net.Dial("tcp", p.Addr())
		if err != nil {
			t.Fatal(err)
		}
		if server, err = l.Accept(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { client.Close(); server.Close() })
		return client, server
	}
}

// talk sends a word and wants it at the other end.
func talk(t *testing.T, from, to net.Conn) {
	t.Helper()
	if _, err := io.WriteString(from, "hello"); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 5)
	if _, err := io.ReadFull(to, got); err != nil || string(got) != "hello" {
		t.Fatalf("got %q, %v, want hello", got, err)
	}
}

// silent wants that nothing comes, neither bytes nor an end.
func silent(t *testing.T, c net.Conn) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %d bytes, %v, want silence", n, err)
	}
	if err := c.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
}

func TestCut(t *testing.T) {
	t.Parallel()
	p, client, server := connect(t)
	p.Cut()
	for _, c := range []net.Conn{client, server} {
		if n, err := c.Read(make([]byte, 1)); err == nil {
			t.Errorf("got %d bytes after the cut, want an error", n)
		}
	}
}

func TestCutAfterBytes(t *testing.T) {
	t.Parallel()
	for _, n := range []int64{1, 7, 100_000} {
		p, client, server := connect(t)
		p.CutAfter(proxy.ToServer, n)
		go func() { _, _ = client.Write(make([]byte, 300_000)) }() // the cut ends it
		got, _ := io.ReadAll(server)
		if int64(len(got)) != n {
			t.Errorf("%d bytes came through, want %d", len(got), n)
		}
	}
}

func TestSwallow(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		hole     proxy.Direction
		up, down bool // what still comes through
	}{
		{"both", proxy.BothWays, false, false},
		{"to server", proxy.ToServer, false, true},
		{"to client", proxy.ToClient, true, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p, client, server := connect(t)
			p.Swallow(test.hole)
			for _, way := range []struct {
				open     bool
				from, to net.Conn
			}{{test.up, client, server}, {test.down, server, client}} {
				if way.open {
					talk(t, way.from, way.to)
					continue
				}
				if _, err := io.WriteString(way.from, "lost"); err != nil {
					t.Error(err)
				}
				silent(t, way.to)
			}
			if test.up {
				return
			}
			client.Close() // of which the server must not hear
			silent(t, server)
		})
	}
}

// What is hidden answers nobody, those who come anew neither, until it is not hidden any more.
func TestHide(t *testing.T) {
	t.Parallel()
	p, another := listen(t)
	client, server := another()
	talk(t, client, server)
	p.Hide(true)
	if _, err := io.WriteString(client, "lost"); err != nil {
		t.Error(err)
	}
	silent(t, server)
	late, lateServer := another()
	if _, err := io.WriteString(late, "lost"); err != nil {
		t.Error(err)
	}
	silent(t, lateServer)
	p.Hide(false)
	anew, anewServer := another()
	talk(t, anew, anewServer)
	silent(t, lateServer)
}

func TestSlow(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		shape proxy.Shape
		least time.Duration // for 100 bytes
	}{
		{"latency", proxy.Shape{Latency: 100 * time.Millisecond}, 100 * time.Millisecond},
		{"bandwidth", proxy.Shape{Bandwidth: 1000}, 100 * time.Millisecond},
		{"pieces", proxy.Shape{Piece: 3, Latency: time.Millisecond}, 33 * time.Millisecond},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p, client, server := connect(t)
			p.Slow(test.shape)
			talk(t, client, server) // the read that waits now may be of the old shape
			want := bytes.Repeat([]byte("0123456789"), 10)
			began := time.Now()
			if _, err := client.Write(want); err != nil {
				t.Fatal(err)
			}
			got := make([]byte, len(want))
			if _, err := io.ReadFull(server, got); err != nil || !bytes.Equal(got, want) {
				t.Fatalf("got %q, %v, want %q", got, err, want)
			}
			if took := time.Since(began); took < test.least {
				t.Errorf("it took %v, want at least %v", took, test.least)
			}
			p.Slow(proxy.Shape{})
			talk(t, client, server)
		})
	}
}

func TestServerIsDown(t *testing.T) {
	t.Parallel()
	p, err := proxy.Listen("127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	c, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if n, err := c.Read(make([]byte, 1)); err == nil {
		t.Errorf("got %d bytes of a server that is down", n)
	}
}
