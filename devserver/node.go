package devserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// node is a RabbitMQ node as a child of this process.
//
// It has a port mapper of its own, because the one that Erlang starts is a daemon that
// outlives the node, and the machine's, if there is one, would be told of this node.
type node struct {
	installed installation
	dir       string
	env       []string
	epmdPort  int
	endpoint  endpoint

	restarting sync.Mutex // held by restart and stop, so that no broker starts after stop
	watchdog   *watchdog
	epmd       *process
	broker     *process
}

func startNode(ctx context.Context, installed installation, extra string) (s *Server, err error) {
	dir, err := os.MkdirTemp("", "errand-rabbitmq-")
	if err != nil {
		return nil, err
	}
	n := &node{installed: installed, dir: dir}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.stop())
		}
	}()
	if n.watchdog, err = startWatchdog(dir); err != nil {
		return nil, err
	}
	if err := n.prepare(extra); err != nil {
		return nil, err
	}
	began := time.Now()
	if n.epmd, err = startProcess(dir, "epmd", n.env, installed.epmd, "-port", strconv.Itoa(n.epmdPort)); err != nil {
		return nil, err
	}
	version, err := n.run(ctx)
	if err != nil {
		return nil, err
	}
	how := fmt.Sprintf("RabbitMQ %s as a private node of %s, at %s, ready in %.1f s",
		version, installed.server, n.endpoint.url.Host, time.Since(began).Seconds())
	return newServer(n.endpoint.url.String(), how, n.endpoint.manage, n), nil
}

// prepare chooses names and ports and writes the node's files.
func (n *node) prepare(extra string) error {
	ports, err := freePorts(4)
	if err != nil {
		return err
	}
	conf := settings{
		dir: n.dir, user: "errand", password: random(12), cookie: random(12),
		address: "127.0.0.1", amqp: ports[0], manage: ports[1], extra: extra,
	}
	n.epmdPort = ports[3]
	n.endpoint = newEndpoint(conf,
		net.JoinHostPort(conf.address, strconv.Itoa(conf.amqp)),
		net.JoinHostPort(conf.address, strconv.Itoa(conf.manage)))

	for name, text := range conf.files() {
		file := filepath.Join(n.dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(file, []byte(text), 0o400); err != nil {
			return err
		}
	}
	env := conf.environ()
	env["PATH"] = n.installed.path
	env["RABBITMQ_NODENAME"] = "errand-" + random(6) + "@localhost"
	env["RABBITMQ_DIST_PORT"] = strconv.Itoa(ports[2])
	env["RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS"] = "-kernel inet_dist_use_interface {127,0,0,1}"
	// For the node and for what it runs: a helper that outlives the node by a moment would
	// otherwise start a daemon in the place of the port mapper that is just gone.
	env["ERL_ZFLAGS"] = "-start_epmd false"
	env["ERL_EPMD_PORT"] = strconv.Itoa(n.epmdPort)
	env["ERL_EPMD_ADDRESS"] = "127.0.0.1"
	for key, value := range env {
		n.env = append(n.env, key+"="+value)
	}
	return nil
}

// run starts the broker and returns its version when it is ready.
func (n *node) run(ctx context.Context) (version string, err error) {
	if n.broker, err = startProcess(n.dir, "broker", n.env, n.installed.server); err != nil {
		return "", err
	}
	_, version, err = waitReady(ctx, n.alive, n.endpoint)
	if err != nil {
		return "", errors.Join(err, excerpt(n.logs()))
	}
	return version, nil
}

func (n *node) alive() error {
	switch {
	case n.epmd.ended():
		// It says nothing, but with a free port there is nothing that could end it.
		return fmt.Errorf("epmd ended while starting: %w", errPortTaken)
	case n.broker.ended():
		return errors.New("the broker ended while starting")
	}
	return nil
}

// logs returns all that the node has said.
func (n *node) logs() string {
	var all strings.Builder
	for _, name := range []string{"epmd.out", "broker.out"} {
		text, err := os.ReadFile(filepath.Join(n.dir, name))
		if err != nil {
			continue // not written yet
		}
		all.Write(text)
	}
	return all.String()
}

func (n *node) restart(ctx context.Context) error {
	n.restarting.Lock()
	defer n.restarting.Unlock()
	if err := n.broker.kill(); err != nil {
		return err
	}
	_, err := n.run(ctx)
	return err
}

// stop is what the watchdog would do, with the certainty that it is done.
func (n *node) stop() error {
	n.restarting.Lock()
	defer n.restarting.Unlock()
	var errs []error
	for _, p := range []*process{n.broker, n.epmd} {
		if p != nil {
			errs = append(errs, p.kill())
		}
	}
	if n.watchdog != nil {
		errs = append(errs, n.watchdog.stop())
	}
	return errors.Join(append(errs, os.RemoveAll(n.dir))...)
}
