package integration_test

import (
	"net"
	"sync"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

// A hog makes the server hold much memory: it begins large messages and never ends them.
type hog struct {
	conns []net.Conn
	wg    sync.WaitGroup
}

// half is a connection that loses what is written after so many bytes.
type half struct {
	net.Conn
	left int
}

func (h *half) Write(p []byte) (int, error) {
	n := min(len(p), h.left)
	h.left -= n
	if n == 0 {
		return len(p), nil
	}
	_, err := h.Conn.Write(p[:n])
	return len(p), err
}

// newHog makes the server of url hold at least size bytes more, sooner or later, unless the
// server stops reading before. It ends with the test.
func newHog(t *testing.T, url string, size int) *hog {
	t.Helper()
	const each = 32 << 20
	h := &hog{}
	body := make([]byte, each+1<<20)
	for range (size + each - 1) / each {
		conn, err := amqp.DialConfig(url, amqp.Config{Dial: func(network, address string) (net.Conn, error) {
			c, err := net.Dial(network, address)
			if err == nil {
				h.conns = append(h.conns, c)
			}
			return &half{c, each}, err
		}})
		if err != nil {
			t.Fatal(err)
		}
		ch, err := conn.Channel()
		if err != nil {
			t.Fatal(err)
		}
		h.wg.Go(func() {
			_ = ch.Publish("", "nowhere", false, false, amqp.Publishing{Body: body}) // close ends it
		})
	}
	t.Cleanup(h.close)
	return h
}

func (h *hog) close() {
	for _, c := range h.conns {
		_ = c.Close()
	}
	h.wg.Wait()
}
