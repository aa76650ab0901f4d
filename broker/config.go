package broker

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// Config changes what [Dial] does. The zero value works.
type Config struct {
	// Name is what RabbitMQ shows the connections as, with " publish" or " consume" behind it.
	// Empty means the program's name and process ID.
	Name string

	// TLS is used for amqps URLs: root certificates, client certificates, server name.
	// Nil means the system's roots. An empty ServerName means the URL's host. The server's
	// certificate is always verified, unless TLS itself says otherwise.
	TLS *tls.Config

	// Heartbeat is how often each side shows that it is alive; a peer that is silent for about
	// twice as long counts as dead. Zero means 10 seconds, less than one second means one.
	Heartbeat time.Duration

	// MaxBody is the largest message body in bytes that is sent. A larger one than the server
	// takes would make it close the channel for everybody. Zero means 16 MiB, RabbitMQ 4's
	// own default (max_message_size).
	MaxBody int

	// NoDeclare makes Declare do nothing: an administrator has made all exchanges, queues and
	// bindings, and the user lacks the permission.
	NoDeclare bool

	// Logger gets changes of the connections' state. Nil means slog.Default().
	Logger *slog.Logger

	// dial makes a connection without TLS. Tests have their own.
	dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// Bounds of what waits on the network without a context of its own.
const (
	// callTimeout ends a call that RabbitMQ does not answer, by killing its connection. A
	// declaration on a busy cluster may take seconds.
	callTimeout = 30 * time.Second
	// connectTimeout is for one endpoint: TCP, TLS and the AMQP handshake.
	connectTimeout = 15 * time.Second
	// closeTimeout is for saying goodbye.
	closeTimeout = 2 * time.Second
	// dialPatience is how long Dial itself waits for a server that isn't up yet.
	dialPatience = 15 * time.Second
)

func (c Config) withDefaults() Config {
	if c.Name == "" {
		c.Name = filepath.Base(os.Args[0]) + " " + strconv.Itoa(os.Getpid())
	}
	if c.Heartbeat == 0 {
		c.Heartbeat = 10 * time.Second
	}
	c.Heartbeat = max(c.Heartbeat, time.Second)
	if c.MaxBody <= 0 {
		c.MaxBody = DefaultMaxBody
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.dial == nil {
		c.dial = new(net.Dialer).DialContext
	}
	return c
}
