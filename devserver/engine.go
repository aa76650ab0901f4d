package devserver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/moby/moby/client"
)

const (
	// engineTimeout is for an engine to say that it is there. Most machines have none, and
	// must not wait long for finding that out.
	engineTimeout = 3 * time.Second
	// pullFirst is for the registry to answer at all, which behind a firewall it never does.
	pullFirst = 15 * time.Second
	// pullTimeout is for the whole image, of about 150 MB.
	pullTimeout = 3 * time.Minute
)

// engineHosts returns the addresses at which testcontainers looks for a Docker engine.
func engineHosts() []string {
	if host := os.Getenv("DOCKER_HOST"); host != "" {
		return []string{host}
	}
	sockets := []string{"/var/run/docker.sock"}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" {
		sockets = append(sockets, filepath.Join(dir, "docker.sock"))
	}
	if home, err := os.UserHomeDir(); err == nil {
		sockets = append(sockets,
			filepath.Join(home, ".docker/run/docker.sock"),
			filepath.Join(home, ".docker/desktop/docker.sock"))
	}
	sockets = append(sockets, fmt.Sprintf("/run/user/%d/docker.sock", os.Getuid()))
	hosts := make([]string, len(sockets))
	for i, socket := range sockets {
		hosts[i] = "unix://" + socket
	}
	return hosts
}

// findEngine returns a client of the first engine that answers, which the caller closes.
//
// It is not left to testcontainers, whose own search has no time limit, and which decides
// about its reaper when it is first called: see [engine.withoutReaper].
func findEngine(ctx context.Context, hosts []string) (engine, error) {
	ctx, cancel := context.WithTimeout(ctx, engineTimeout)
	defer cancel()
	var errs []error
	for _, host := range hosts {
		if u, err := url.Parse(host); err == nil && u.Scheme == "unix" {
			if _, err := os.Stat(u.Path); errors.Is(err, os.ErrNotExist) {
				continue
			}
		}
		c, err := client.New(client.FromEnv, client.WithHost(host))
		if err == nil {
			if _, err = c.Ping(ctx, client.PingOptions{NegotiateAPIVersion: true}); err == nil {
				return engine{c}, nil
			}
			err = errors.Join(err, c.Close())
		}
		errs = append(errs, fmt.Errorf("%s: %w", host, err))
	}
	return engine{}, fmt.Errorf("no Docker engine answers: install and start one, or let DOCKER_HOST name it: %w",
		cmp.Or(errors.Join(errs...), errors.New("there is no socket of one")))
}

// engine is a Docker engine.
type engine struct{ *client.Client }

// ensureImage pulls the image unless it is there.
func (e engine) ensureImage(ctx context.Context, image string) error {
	_, absent := e.ImageInspect(ctx, image)
	if absent == nil {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, pullTimeout, fmt.Errorf("not pulled after %v: pull it beforehand", pullTimeout))
	defer cancel()
	ctx, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	noAnswer := time.AfterFunc(pullFirst, func() { giveUp(fmt.Errorf("the registry did not answer in %v", pullFirst)) })
	defer noAnswer.Stop()

	err := e.pull(ctx, image, func() { noAnswer.Stop() })
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("image %s is not there and can't be pulled: %w", image, err)
	}
	return nil
}

func (e engine) pull(ctx context.Context, image string, answered func()) error {
	progress, err := e.ImagePull(ctx, image, client.ImagePullOptions{})
	if err != nil {
		return err
	}
	defer progress.Close()
	for message, err := range progress.JSONMessages(ctx) {
		answered()
		if err != nil {
			return err
		}
		if message.Error != nil {
			return message.Error
		}
	}
	return nil
}

// withoutReaper does without testcontainers' reaper where the reaper's image can't be had.
//
// The reaper is a container that removes the others when the process that started them has
// ended. Ours ends and is removed without it (see tether), but there is no way to say so
// for one container, and a reaper that can't be pulled makes every container fail. So the
// whole process does without, and only then.
func (e engine) withoutReaper(ctx context.Context) error {
	const disabled = "TESTCONTAINERS_RYUK_DISABLED"
	if os.Getenv(disabled) != "" || e.ensureImage(ctx, reaperImage) == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return os.Setenv(disabled, "true")
}
