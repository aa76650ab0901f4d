package integration_test

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/errandq/errand/job"
)

// A confirm that never comes, on a connection that is well otherwise, must not hang its
// caller for ever: the message is sent again.
func TestLostConfirm(t *testing.T) {
	t.Parallel()
	vhost := rabbit.URL(t)
	kind := job.Define[numbered]("confirmed", job.Queue("confirmed"))
	enqueue(t, dial(t, vhost), kind.New(numbered{0})) // declares the queue, without the thief
	through, stolen := stealConfirm(t, vhost)

	enqueue(t, dial(t, through), kind.New(numbered{1}))

	if !stolen.Load() {
		t.Fatal("no confirm was stolen: the test has shown nothing")
	}
	r := dialRaw(t, vhost)
	for _, want := range []string{`{"N":0}`, `{"N":1}`, `{"N":1}`} { // the copy is the price
		if m := r.await("confirmed"); string(m.Body) != want {
			t.Errorf("got job %s, want %s", m.Body, want)
		}
	}
	r.empty("confirmed")
}

// stealConfirm returns the URL of a server in front of that of to, which lets everything
// pass but the first basic.ack that the server sends.
func stealConfirm(t *testing.T, to string) (string, *atomic.Bool) {
	t.Helper()
	u, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	stolen, target := new(atomic.Bool), u.Host
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", target)
			if err != nil {
				t.Error(errors.Join(err, client.Close()))
				return
			}
			wg.Go(func() {
				_, _ = io.Copy(server, client) // ends with either side
				_ = server.Close()
			})
			wg.Go(func() {
				_ = passFrames(client, server, stolen) // ends with either side
				_ = client.Close()
			})
		}
	})
	t.Cleanup(wg.Wait)
	t.Cleanup(func() { _ = listener.Close() })
	u.Host = listener.Addr().String()
	return u.String(), stolen
}

// passFrames copies AMQP frames: type, channel and size of the payload in seven bytes, the
// payload, and one byte at the end.
func passFrames(to io.Writer, from io.Reader, stolen *atomic.Bool) error {
	const (
		method   = 1
		basicAck = 60<<16 | 80
	)
	r := bufio.NewReader(from)
	head := make([]byte, 7)
	for {
		if _, err := io.ReadFull(r, head); err != nil {
			return err
		}
		rest := make([]byte, binary.BigEndian.Uint32(head[3:])+1)
		if _, err := io.ReadFull(r, rest); err != nil {
			return err
		}
		if head[0] == method && binary.BigEndian.Uint32(rest) == basicAck && stolen.CompareAndSwap(false, true) {
			continue
		}
		if _, err := to.Write(append(append([]byte(nil), head...), rest...)); err != nil {
			return err
		}
	}
}
