package smtpsink

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/emersion/go-smtp"
)

// Config says where a Sink listens and what it does. The zero value listens on a free loopback port and accepts everything.
type Config struct {
	// Addr is the address to listen on. Defaults to "127.0.0.1:0", a port of the system's choice.
	Addr string
	// Dir is where accepted mails are kept, one .eml file each; it is made if need be. Empty: mails are counted and forgotten.
	Dir string
	// Faults is what goes wrong. Nothing, by default.
	Faults Faults
	// Logger gets a line for each mail, at level Debug when it is accepted and Info when it is refused. Defaults to slog.Default().
	Logger *slog.Logger
}

// Sink is a running mail server. All methods are safe for concurrent use.
type Sink struct {
	config   Config
	started  time.Time
	listener net.Listener
	server   *smtp.Server
	serving  sync.WaitGroup

	mu       sync.Mutex
	closed   bool
	attempts int
	refused  int
	mails    []Mail
}

// Start returns a sink that already listens. The caller closes it.
func Start(config Config) (*Sink, error) {
	if config.Addr == "" {
		config.Addr = "127.0.0.1:0"
	}
	if config.Logger == nil {
		config.Logger = slog.Default()
	}
	if err := config.Faults.check(); err != nil {
		return nil, err
	}
	if config.Dir != "" {
		if err := os.MkdirAll(config.Dir, 0o755); err != nil {
			return nil, fmt.Errorf("smtpsink: start: %w", err)
		}
	}
	listener, err := net.Listen("tcp", config.Addr)
	if err != nil {
		return nil, fmt.Errorf("smtpsink: start: %w", err)
	}
	s := &Sink{config: config, started: time.Now(), listener: listener}
	s.server = smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &session{sink: s}, nil }))
	s.server.Domain = "smtpsink.localhost"
	s.server.MaxMessageBytes = 32 << 20
	s.server.MaxRecipients = 100
	s.server.ReadTimeout = time.Minute
	s.server.WriteTimeout = time.Minute
	s.server.EnableSMTPUTF8 = true
	s.server.ErrorLog = slog.NewLogLogger(config.Logger.Handler(), slog.LevelWarn)
	s.serving.Go(func() {
		// Serve returns nil after Close; anything else is worth a line, since senders will see refused connections from now on.
		if err := s.server.Serve(listener); err != nil {
			config.Logger.Error("mail sink stopped listening", "err", err)
		}
	})
	return s, nil
}

// Addr is the host:port that the sink listens on.
func (s *Sink) Addr() string {
	return s.listener.Addr().String()
}

// Close stops listening and cuts open connections. No file is written after it has returned. Closing again does nothing.
func (s *Sink) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	for _, err := range []error{
		s.server.Close(),
		// The server knows its listener only once Serve has begun, which a Close right after Start can be ahead of.
		s.listener.Close(),
	} {
		if err != nil && !errors.Is(err, smtp.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			return fmt.Errorf("smtpsink: close: %w", err)
		}
	}
	s.serving.Wait()
	return nil
}
