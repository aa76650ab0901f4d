package main

import (
	"errors"
	"net"
	"sync"

	amqp "github.com/rabbitmq/amqp091-go"
)

// A hog makes the server hold much memory: it begins large messages and never ends them.
type hog struct {
	conns []net.Conn
	wg    sync.WaitGroup
}

// hogPart is how much of a message it sends.
const hogPart = 32 << 20

// A stingy connection loses what is written after so many bytes.
type stingy struct {
	net.Conn
	left int
}

func (s *stingy) Write(p []byte) (int, error) {
	some := p[:min(len(p), s.left)]
	s.left -= len(some)
	if len(some) == 0 {
		return len(p), nil
	}
	if _, err := s.Conn.Write(some); err != nil {
		return 0, err
	}
	return len(p), nil
}

// newHog sends size bytes, unless the server stops reading before.
func newHog(url string, size int) (*hog, error) {
	g := &hog{}
	body := make([]byte, hogPart+1<<20)
	for sent := 0; sent < size; sent += hogPart {
		if err := g.begin(url, body); err != nil {
			g.close()
			return nil, err
		}
	}
	return g, nil
}

func (g *hog) begin(url string, body []byte) error {
	dial := func(network, address string) (net.Conn, error) {
		c, err := net.Dial(network, address)
		if err != nil {
			return nil, err
		}
		g.conns = append(g.conns, c)
		return &stingy{c, hogPart}, nil
	}
	conn, err := amqp.DialConfig(url, amqp.Config{Dial: dial})
	if err != nil {
		return err
	}
	ch, err := conn.Channel()
	if err != nil {
		return errors.Join(err, conn.Close())
	}
	g.wg.Go(func() {
		_ = ch.Publish("", "nowhere", false, false, amqp.Publishing{Body: body}) // close ends it
	})
	return nil
}

// close ends the connections, and with them what the server holds.
func (g *hog) close() {
	for _, c := range g.conns {
		_ = c.Close() // the server may have closed it
	}
	g.wg.Wait()
}
