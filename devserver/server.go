package devserver

import (
	"context"
	"fmt"
	"net/url"
	"sync"
)

// A Server is a running RabbitMQ. Its methods may be called from many goroutines at once.
type Server struct {
	url     string // with credentials
	how     string
	manage  *management // nil: no management API
	backend backend     // nil: the server of AMQP_URL

	vhosts sync.Map // names made by NewVhost -> struct{}
	stop   func() error
}

// backend is what runs a private server.
type backend interface {
	// restart kills the node and returns when it is gone and started again.
	restart(ctx context.Context) error
	// stop ends the node and removes all traces of it, in bounded time.
	stop() error
}

func newServer(url, how string, m *management, b backend) *Server {
	s := &Server{url: url, how: how, manage: m, backend: b}
	s.stop = sync.OnceValue(func() error {
		if m != nil {
			m.close()
		}
		if b == nil {
			return nil
		}
		return b.stop()
	})
	return s
}

// URL returns amqp://user:password@host:port/, or what AMQP_URL says.
func (s *Server) URL() string { return s.url }

// ManagementURL returns the address of the management API and pages, which takes the user
// and password of URL, or "" where there is none.
func (s *Server) ManagementURL() string {
	if s.manage == nil {
		return ""
	}
	return s.manage.base
}

// How says in one line which way was taken. It holds no password.
func (s *Server) How() string { return s.how }

// String returns How.
func (s *Server) String() string { return s.how }

// Stop ends the server and removes all of it, or does nothing to that of AMQP_URL.
// It takes a few seconds at most. A second call waits for the first and returns the same.
func (s *Server) Stop() error { return s.stop() }

// Restart kills the node without warning and starts it again with the same data, on the
// same ports. It returns when the node accepts connections; ctx bounds that. After an error
// the node may be down, and Restart may be called again.
// It returns ErrExternal for the server of AMQP_URL.
func (s *Server) Restart(ctx context.Context) error {
	if s.backend == nil {
		return fmt.Errorf("devserver: restart: %w", ErrExternal)
	}
	if err := s.backend.restart(ctx); err != nil {
		return fmt.Errorf("devserver: restart: %w", err)
	}
	return nil
}

// NewVhost makes a vhost with a user of its own name, who is an administrator, and returns
// its URL. On the server of AMQP_URL, where the management API can't be reached or its
// user is not an administrator, it returns the server's own URL: names in it are shared
// with whoever else uses the server.
func (s *Server) NewVhost(ctx context.Context) (string, error) {
	if s.manage == nil {
		return s.url, nil
	}
	name, password := "errand-"+random(6), random(12)
	if err := s.manage.createVhost(ctx, name, password); err != nil {
		return "", fmt.Errorf("devserver: new vhost: %w", err)
	}
	s.vhosts.Store(name, struct{}{})
	if c, ok := s.backend.(*cluster); ok {
		if err := c.waitUser(ctx, name, name); err != nil {
			return "", fmt.Errorf("devserver: new vhost: %w", err)
		}
	}
	return rewrite(s.url, func(u *url.URL) {
		u.User = url.UserPassword(name, password)
		u.Path, u.RawPath = "/"+name, ""
	})
}

// DeleteVhost deletes the vhost of a URL that NewVhost returned, its user, and all that is
// in it. Any other URL is left alone, the server's own too.
func (s *Server) DeleteVhost(ctx context.Context, url string) error {
	name, ours := s.vhostOf(url)
	if !ours {
		return nil
	}
	if err := s.manage.deleteVhost(ctx, name); err != nil {
		return fmt.Errorf("devserver: delete vhost %s: %w", name, err)
	}
	s.vhosts.Delete(name)
	return nil
}

// CloseConnections closes client connections as an administrator does: the client is told
// CONNECTION_FORCED and the reason. Given URLs that NewVhost returned, it closes the
// connections of those; given none, those of all clients, which the server of AMQP_URL
// refuses with ErrExternal, because it has clients that are not ours.
//
// The server takes note of a connection a few milliseconds after the client does. Where it
// knows of none, CloseConnections waits for one, for a quarter of a second; where it knows
// of some, it may miss one that was opened just now.
func (s *Server) CloseConnections(ctx context.Context, reason string, urls ...string) error {
	if err := s.closeConnections(ctx, reason, urls); err != nil {
		return fmt.Errorf("devserver: close connections: %w", err)
	}
	return nil
}

func (s *Server) closeConnections(ctx context.Context, reason string, urls []string) error {
	if s.manage == nil || s.backend == nil && len(urls) == 0 {
		return ErrExternal
	}
	var users []string
	for _, url := range urls {
		name, ours := s.vhostOf(url)
		if !ours {
			return ErrExternal
		}
		users = append(users, name)
	}
	if len(urls) == 0 {
		var err error
		if users, err = s.manage.users(ctx); err != nil {
			return err
		}
	}
	return s.manage.closeConnections(ctx, users, reason)
}

// vhostOf returns the vhost of a URL and whether NewVhost made it.
func (s *Server) vhostOf(raw string) (name string, ours bool) {
	list, err := parseURLs(raw)
	if err != nil || list[0].Path == "" {
		return "", false
	}
	name = list[0].Path[1:]
	_, ours = s.vhosts.Load(name)
	return name, ours
}
