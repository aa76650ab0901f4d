package devserver

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"time"
)

// handshake opens a connection to the server of u and returns nil when it offers AMQP
// 0-9-1. It does not log in. It takes five seconds at most.
func handshake(ctx context.Context, u *url.URL) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	port := u.Port()
	var dial func(context.Context, string, string) (net.Conn, error)
	switch u.Scheme {
	case "amqps":
		if port == "" {
			port = "5671"
		}
		// Whether the certificate is the right one is for the client of the URL to judge.
		dial = (&tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}).DialContext
	default:
		if port == "" {
			port = "5672"
		}
		dial = (&net.Dialer{}).DialContext
	}
	conn, err := dial(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return err
		}
	}
	return greet(conn)
}

// greet sends the protocol header and reads the start of connection.start.
func greet(conn io.ReadWriter) error {
	if _, err := conn.Write([]byte("AMQP\x00\x00\x09\x01")); err != nil {
		return err
	}
	got := make([]byte, 11) // type 1, channel 2, size 4, class 2, method 2
	if _, err := io.ReadFull(conn, got); err != nil {
		return fmt.Errorf("no answer to the AMQP header: %w", err)
	}
	isMethod := got[0] == 1
	isStart := bytes.Equal(got[7:], []byte{0, 10, 0, 10})
	if !isMethod || !isStart {
		return errors.New("it does not speak AMQP 0-9-1")
	}
	return nil
}
