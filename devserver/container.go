package devserver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/testcontainers/testcontainers-go"
)

// reaperImage is that of testcontainers' version in go.mod; a test compares them.
const reaperImage = "testcontainers/ryuk:0.14.0"

// startContainer runs a node in a container.
func startContainer(ctx context.Context, o Options, m machine) (*Server, error) {
	e, err := findEngine(ctx, m.engines)
	if err != nil {
		return nil, err
	}
	image := cmp.Or(o.Image, m.image, DefaultImage)
	s, err := runContainer(ctx, e, image, o)
	if err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return s, nil
}

func runContainer(ctx context.Context, e engine, image string, o Options) (s *Server, err error) {
	if err := e.ensureImage(ctx, image); err != nil {
		return nil, err
	}
	if err := e.withoutReaper(ctx); err != nil {
		return nil, err
	}
	log := cmp.Or(o.Logger, slog.Default())
	if o.Nodes > 1 {
		return runCluster(ctx, e, image, o, log)
	}
	began := time.Now()
	c := &containerNode{engine: e, host: "localhost"}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("image %s: %w", image, err), c.stop())
		}
	}()
	version, err := c.run(ctx, image, containerSettings(o.Config), log)
	if err != nil {
		return nil, err
	}
	how := fmt.Sprintf("RabbitMQ %s in a container of %s, at %s, ready in %.1f s",
		version, image, c.endpoint.url.Host, time.Since(began).Seconds())
	return newServer(c.endpoint.url.String(), how, c.endpoint.manage, c), nil
}

func containerSettings(extra string) settings {
	return settings{
		dir: containerDir, user: "errand", password: random(12), cookie: random(12),
		address: "0.0.0.0", amqp: 5672, manage: 15672, extra: extra,
	}
}

// containerNode is a node in a container.
type containerNode struct {
	engine    engine
	host      string // its name, as the other members of a cluster know it
	network   string // that of the cluster, or empty
	container *testcontainers.DockerContainer
	tether    *tether
	endpoint  endpoint

	restarting sync.Mutex // held by kill, start and stop
}

// nodename is what Erlang calls it.
func (c *containerNode) nodename() string { return "errand@" + c.host }

// run creates the container and returns the version of its node when that is ready. What
// exists after an error is for stop to remove.
func (c *containerNode) run(ctx context.Context, image string, conf settings, log *slog.Logger) (version string, err error) {
	if err := c.create(ctx, image, conf, log); err != nil {
		return "", err
	}
	candidates, err := c.endpoints(ctx, conf)
	if err != nil {
		return "", err
	}
	c.endpoint, version, err = waitReady(ctx, c.tether.alive, candidates...)
	if err != nil {
		return "", errors.Join(err, excerpt(c.tether.log.String()))
	}
	return version, c.goDirect(ctx, conf)
}

// create creates the container, attaches to it and starts it. What exists after an error
// is for stop to remove.
func (c *containerNode) create(ctx context.Context, image string, conf settings, log *slog.Logger) (err error) {
	env := conf.environ()
	env["RABBITMQ_NODENAME"] = c.nodename()
	env["RABBITMQ_PID_FILE"] = path.Join(conf.dir, "broker.pid")
	var files []testcontainers.ContainerFile
	for name, text := range conf.files() {
		files = append(files, testcontainers.ContainerFile{
			Reader: strings.NewReader(text), ContainerFilePath: path.Join(conf.dir, name), FileMode: 0o400,
		})
	}
	c.container, err = testcontainers.Run(ctx, image,
		testcontainers.WithLogger(debugLogger{log}),
		testcontainers.WithEnv(maps.Clone(env)),
		testcontainers.WithFiles(files...),
		testcontainers.WithEntrypoint("/bin/sh", "-c", containerScript),
		testcontainers.WithExposedPorts("5672/tcp", "15672/tcp"),
		testcontainers.WithConfigModifier(func(config *container.Config) {
			config.User = "0"
			config.Hostname = c.host
			config.OpenStdin, config.StdinOnce = true, true
		}),
		testcontainers.WithHostConfigModifier(func(config *container.HostConfig) { config.AutoRemove = true }),
		testcontainers.WithAdditionalLifecycleHooks(testcontainers.ContainerLifecycleHooks{
			PostCreates: []testcontainers.ContainerHook{func(ctx context.Context, created testcontainers.Container) (err error) {
				if err := c.join(ctx, created.GetContainerID()); err != nil {
					return err
				}
				c.tether, err = attach(ctx, c.engine, created.GetContainerID())
				return err
			}},
		}))
	return err
}

// endpoints returns where the node may be reached from here. Which it is depends on where we
// are: beside the engine, in a container beside ours, or on another machine; and no file or
// variable tells that reliably.
func (c *containerNode) endpoints(ctx context.Context, conf settings) ([]endpoint, error) {
	var ports [2]string
	for i, port := range []string{"5672/tcp", "15672/tcp"} {
		mapped, err := c.container.MappedPort(ctx, port)
		if err != nil {
			return nil, err
		}
		ports[i] = mapped.Port()
	}
	host, err := c.container.Host(ctx)
	if err != nil {
		return nil, err
	}
	hosts := []string{"127.0.0.1"}
	if host != "localhost" {
		hosts = append(hosts, host)
	}
	var candidates []endpoint
	for _, host := range hosts {
		candidates = append(candidates, newEndpoint(conf, net.JoinHostPort(host, ports[0]), net.JoinHostPort(host, ports[1])))
	}
	return candidates, nil
}

func (c *containerNode) restart(ctx context.Context) error {
	if err := c.kill(ctx); err != nil {
		return err
	}
	return c.start(ctx)
}

// kill returns when the node is gone. Its container stays.
func (c *containerNode) kill(ctx context.Context) error {
	c.restarting.Lock()
	defer c.restarting.Unlock()
	if err := c.tether.order(orderKill); err != nil {
		return err
	}
	return c.endpoint.waitGone(ctx)
}

// start starts the node that was killed or shut down, and returns when it is ready.
func (c *containerNode) start(ctx context.Context) error {
	c.restarting.Lock()
	defer c.restarting.Unlock()
	c.tether.log.reset()
	if err := c.tether.order(orderStart); err != nil {
		return err
	}
	if _, _, err := waitReady(ctx, c.tether.alive, c.endpoint); err != nil {
		return errors.Join(err, excerpt(c.tether.log.String()))
	}
	return nil
}

func (c *containerNode) stop() error {
	c.restarting.Lock()
	defer c.restarting.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	// Without a stop timeout: there is nothing in it that anybody wants to keep.
	err := testcontainers.TerminateContainer(c.container, testcontainers.StopContext(ctx), testcontainers.StopTimeout(0))
	if c.tether != nil {
		c.tether.close()
	}
	return errors.Join(err, c.engine.Close())
}

// debugLogger takes what testcontainers tells about its progress.
type debugLogger struct{ *slog.Logger }

// Printf implements the Logger of testcontainers.
func (l debugLogger) Printf(format string, args ...any) {
	l.Debug("testcontainers", "says", strings.TrimSpace(fmt.Sprintf(format, args...)))
}
