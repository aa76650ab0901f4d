package devserver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"time"
)

// DefaultImage is the container image that is used where nothing else is said.
const DefaultImage = "rabbitmq:4-management"

// Environment variables that [Start] reads.
const (
	// EnvURL names a running server: amqp://user:password@host:port/vhost.
	EnvURL = "AMQP_URL"
	// EnvManagementURL names the management API of the EnvURL server, without credentials.
	// Defaults to port 15672 of the same host.
	EnvManagementURL = "AMQP_MANAGEMENT_URL"
	// EnvImage names the container image.
	EnvImage = "ERRAND_RABBITMQ_IMAGE"
	// EnvNodes is how many nodes a server has.
	EnvNodes = "ERRAND_RABBITMQ_NODES"
)

// Options say what kind of server is wanted. The zero value works.
type Options struct {
	// Logger gets one line about the way that was taken, at level Info, and why the ways
	// before it were not, at level Debug. Defaults to slog.Default().
	Logger *slog.Logger

	// Image is the container image. Defaults to ERRAND_RABBITMQ_IMAGE, then to DefaultImage.
	// Any image with rabbitmq-server and its management plugin will do: what is in its
	// entrypoint and in its configuration is not used. An image that can only be pulled
	// with a login must have been pulled before.
	Image string

	// Nodes is how many nodes the server has. More than one are a cluster, each in a
	// container of its own: see [Server.Members]. Defaults to ERRAND_RABBITMQ_NODES, then
	// to 1.
	Nodes int

	// Config is added to rabbitmq.conf, for example "consumer_timeout = 10000\n".
	// A server so configured, or of several nodes, is always a private one, because that of
	// AMQP_URL is not ours to configure. Defaults to none.
	Config string

	// Private passes over AMQP_URL, for those who stop, restart or overload the server.
	// Defaults to false.
	Private bool
}

// Errors that callers branch on.
var (
	// ErrUnavailable says that no way to a server was possible on this machine.
	ErrUnavailable = errors.New("no RabbitMQ can be had here")
	// ErrExternal says that the server is that of AMQP_URL, and that what was asked for
	// is done to private servers only.
	ErrExternal = errors.New("the server of " + EnvURL + " is not ours to do this to")
)

// machine is what this computer offers; tests make up their own.
type machine struct {
	url           string   // of EnvURL
	managementURL string   // of EnvManagementURL
	image         string   // of EnvImage
	nodes         string   // of EnvNodes
	engines       []string // addresses at which a Docker engine may listen
	path          []string // directories that may hold rabbitmq-server
}

func thisMachine() machine {
	return machine{
		url:           os.Getenv(EnvURL),
		managementURL: os.Getenv(EnvManagementURL),
		image:         os.Getenv(EnvImage),
		nodes:         os.Getenv(EnvNodes),
		engines:       engineHosts(),
		path:          searchPath(),
	}
}

// Start returns a server that accepts connections. Ctx bounds the starting only; the server
// runs until Stop, or until this process ends in whatever way.
//
// An AMQP_URL that does not answer is an error, not a reason to try the next way.
// Where no way is possible the error is ErrUnavailable and says for each of them why.
func Start(ctx context.Context, o Options) (*Server, error) {
	return start(ctx, o, thisMachine())
}

// countNodes is how many nodes the server shall have.
func countNodes(o Options, m machine) (int, error) {
	if o.Nodes > 0 || m.nodes == "" {
		return max(o.Nodes, 1), nil
	}
	n, err := strconv.Atoi(m.nodes)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("devserver: %s: got %q, want a number of nodes", EnvNodes, m.nodes)
	}
	return n, nil
}

func start(ctx context.Context, o Options, m machine) (*Server, error) {
	log := cmp.Or(o.Logger, slog.Default())
	began := time.Now()
	var err error
	if o.Nodes, err = countNodes(o, m); err != nil {
		return nil, err
	}

	private := o.Private || o.Config != "" || o.Nodes > 1
	if m.url != "" && !private {
		s, err := startExternal(ctx, m)
		if err != nil {
			return nil, err
		}
		log.InfoContext(ctx, "rabbitmq is ready", "how", s.How())
		return s, nil
	}
	noURL := errors.New("it is not set: set it to amqp://user:password@host:port/ to use a running server")
	if m.url != "" {
		noURL = errors.New("passed over, because a private server was asked for")
	}

	ways := []struct {
		name  string
		start func(context.Context, Options, machine) (*Server, error)
	}{
		{"a container", startContainer},
		{"an installed rabbitmq-server", startInstalled},
	}
	errs := []error{ErrUnavailable, fmt.Errorf("%s: %w", EnvURL, noURL)}
	for _, way := range ways {
		s, err := way.start(ctx, o, m)
		if err == nil {
			log.InfoContext(ctx, "rabbitmq is ready", "how", s.How(), "took", time.Since(began).Round(time.Millisecond))
			return s, nil
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("devserver: start %s: %w", way.name, err)
		}
		log.DebugContext(ctx, "no rabbitmq this way", "way", way.name, "err", err)
		errs = append(errs, fmt.Errorf("%s: %w", way.name, err))
	}
	return nil, fmt.Errorf("devserver: %w", errors.Join(errs...))
}
