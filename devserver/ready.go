package devserver

import (
	"context"
	"fmt"
	"net/url"
	"time"
)

// readyTimeout is long for a slow machine under load; an idle one takes about five seconds.
const readyTimeout = 90 * time.Second

// waitReady returns the server's version when it accepts clients and serves the management
// API. It gives up when alive returns an error, when ctx is done, and after readyTimeout.
func waitReady(ctx context.Context, u *url.URL, m *management, alive func() error) (version string, err error) {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if version, err = probe(ctx, u, m); err == nil {
			return version, nil
		}
		if err := alive(); err != nil {
			return "", err
		}
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("not ready: %w (last answer: %w)", context.Cause(ctx), err)
		case <-tick.C:
		}
	}
}

// waitGone returns when the server does not answer any more.
func waitGone(ctx context.Context, u *url.URL) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for handshake(ctx, u) == nil {
		select {
		case <-ctx.Done():
			return fmt.Errorf("the node was killed and still answers: %w", context.Cause(ctx))
		case <-tick.C:
		}
	}
	return ctx.Err()
}

func probe(ctx context.Context, u *url.URL, m *management) (string, error) {
	if err := handshake(ctx, u); err != nil {
		return "", err
	}
	// Its random password also tells our node from another one that took the port.
	return m.version(ctx)
}
