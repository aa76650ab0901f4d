package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/errandq/errand/bench/chaos/proxy"
	"github.com/errandq/errand/bench/chaos/role"
)

// A child is one role. Its process may be killed and be followed by another; its proxies, one
// for each node, stay.
type child struct {
	name    string
	cfg     role.Config
	proxies []*proxy.Proxy
	ended   func(error) // is told of an end that nobody has wanted

	mu      sync.Mutex // one thing at a time is done to it
	number  int        // of its processes
	crashes int        // of those, how many have ended unwanted
	process *process   // nil before the first
}

// A process is one life of a child.
type process struct {
	cmd   *exec.Cmd
	input io.WriteCloser
	done  chan struct{}
	err   error // of Wait, once done is closed

	mu     sync.Mutex
	wanted bool // its end is
}

func newChild(c *cluster, cfg role.Config, ended func(error)) (*child, error) {
	ch := &child{name: cfg.Name, cfg: cfg, ended: ended}
	var addresses []string
	for _, node := range c.addresses() {
		p, err := proxy.Listen(node)
		if err != nil {
			return nil, errors.Join(err, ch.close())
		}
		ch.proxies = append(ch.proxies, p)
		addresses = append(addresses, p.Addr())
	}
	ch.cfg.URL = c.through(addresses)
	return ch, nil
}

// start begins the next process.
func (c *child) start() error {
	c.number++
	cfg := c.cfg
	cfg.Name = fmt.Sprintf("%s.%d", c.name, c.number)
	cfg.Seed += uint64(c.number) << 32
	raw, err := json.Marshal(cfg)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(cfg.Dir, cfg.Name+".log"))
	if err != nil {
		return err
	}
	defer log.Close()
	p := &process{cmd: exec.Command(self), done: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), role.Env+"="+string(raw))
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if p.input, err = p.cmd.StdinPipe(); err != nil {
		return err
	}
	if err := p.cmd.Start(); err != nil {
		return err
	}
	c.process = p
	go func() { // ends with the process, for which close waits
		p.err = p.cmd.Wait()
		p.mu.Lock()
		wanted := p.wanted
		p.mu.Unlock()
		close(p.done)
		if !wanted {
			c.ended(fmt.Errorf("%s has ended: %w", cfg.Name, p.err))
			c.again(p)
		}
	}()
	return nil
}

// again starts another process in the place of one that has ended unwanted, as whatever
// supervises a program does: a few times.
func (c *child) again(p *process) {
	const most = 5
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.crashes++; c.process != p || c.crashes > most {
		return
	}
	if err := c.start(); err != nil {
		c.ended(err)
	}
}

// want says that the process may end from now on.
func (p *process) want() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wanted = true
}

// replace kills the process and starts the next one after pause.
func (c *child) replace(ctx context.Context, pause time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.kill(); err != nil {
		return err
	}
	if err := role.Sleep(ctx, pause); err != nil {
		return err
	}
	return c.start()
}

func (c *child) kill() error {
	c.process.want()
	err := c.process.cmd.Process.Kill()
	if errors.Is(err, os.ErrProcessDone) {
		err = nil
	}
	<-c.process.done
	return err
}

// suspend stops the process for a while.
func (c *child) suspend(ctx context.Context, d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.process.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	return errors.Join(role.Sleep(ctx, d), c.process.cmd.Process.Signal(syscall.SIGCONT))
}

// tell sends a command.
func (c *child) tell(command string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, err := io.WriteString(c.process.input, command+"\n")
	return err
}

// finish has the process finish what it has begun, and returns its error.
func (c *child) finish(limit time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.process
	p.want()
	if _, err := io.WriteString(p.input, role.Stop+"\n"); err != nil {
		return fmt.Errorf("stop %s: %w", c.name, err)
	}
	select {
	case <-p.done:
		if p.err != nil {
			return fmt.Errorf("%s has ended: %w", c.name, p.err)
		}
		return nil
	case <-time.After(limit):
		return fmt.Errorf("%s has not finished within %v", c.name, limit)
	}
}

// heal ends what the network does to it.
func (c *child) heal() {
	for _, p := range c.proxies {
		p.Slow(proxy.Shape{})
		p.Hide(false)
	}
}

// close ends all of it.
func (c *child) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var errs []error
	if c.process != nil {
		errs = append(errs, c.kill())
	}
	c.process = nil
	for _, p := range c.proxies {
		errs = append(errs, p.Close())
	}
	return errors.Join(errs...)
}
