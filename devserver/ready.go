package devserver

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"
)

const (
	// readyTimeout is long for a slow machine under load; an idle one takes five seconds.
	readyTimeout = 90 * time.Second
	// answerTimeout is for a node that is near. It is short because an address may be one
	// that swallows what is sent to it.
	answerTimeout = time.Second
)

// endpoint is where a node may be reached.
type endpoint struct {
	url    *url.URL
	manage *management
}

func newEndpoint(conf settings, host, managementHost string) endpoint {
	return endpoint{
		url:    conf.url(host),
		manage: newManagement("http://"+managementHost, conf.user, conf.password),
	}
}

// probe returns the server's version if it accepts clients and serves the management API.
func (e endpoint) probe(ctx context.Context) (version string, err error) {
	if err := e.answers(ctx); err != nil {
		return "", err
	}
	// Its random password also tells our node from another one that took the port.
	return e.manage.version(ctx)
}

func (e endpoint) answers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	return handshake(ctx, e.url)
}

// waitReady returns the first endpoint that is ready, and the server's version. It gives up
// when alive returns an error, when ctx is done, and after readyTimeout.
func waitReady(ctx context.Context, alive func() error, endpoints ...endpoint) (_ endpoint, version string, err error) {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	defer func() {
		for _, e := range endpoints {
			e.manage.close() // what was connected to an earlier run of the node is stale
		}
	}()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		var errs []error
		for _, e := range endpoints {
			version, err := e.probe(ctx)
			if err == nil {
				return e, version, nil
			}
			errs = append(errs, err)
		}
		if err := alive(); err != nil {
			return endpoint{}, "", err
		}
		select {
		case <-ctx.Done():
			err := fmt.Errorf("not ready: %w (last answer: %w)", context.Cause(ctx), errors.Join(errs...))
			return endpoint{}, "", err
		case <-tick.C:
		}
	}
}

// waitGone returns when the server does not answer any more.
func (e endpoint) waitGone(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for e.answers(ctx) == nil {
		select {
		case <-ctx.Done():
			return fmt.Errorf("the node was killed and still answers: %w", context.Cause(ctx))
		case <-tick.C:
		}
	}
	return ctx.Err()
}
