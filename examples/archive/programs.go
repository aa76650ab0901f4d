package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
)

// totals is what an archiver leaves at its end.
type totals struct{ Rows, Known, Transactions int }

// shop places the orders, to its end.
func (s *story) shop(ctx context.Context) error {
	shop, err := s.start(ctx, "shop", "-n", strconv.Itoa(s.n))
	if err != nil {
		return err
	}
	if err := shop.wait(); err != nil {
		return err
	}
	say("the shop has placed %d orders", s.n)
	return nil
}

func (s *story) archiver(ctx context.Context) (*process, error) {
	return s.start(ctx, "archiver", "-db", s.db, "-summary", s.summary())
}

func (s *story) summary() string { return filepath.Join(s.dir, "archiver.json") }

// totals are those of the archiver that was not killed.
func (s *story) totals() (t totals, err error) {
	line, err := os.ReadFile(s.summary())
	if err != nil {
		return t, err
	}
	return t, json.Unmarshal(line, &t)
}

// A process is a running program. Its output goes to a file.
type process struct {
	cmd   *exec.Cmd
	log   *os.File
	ended chan struct{}
	err   error // how; readable once ended is closed
}

func (s *story) start(ctx context.Context, name string, args ...string) (*process, error) {
	log, err := os.OpenFile(filepath.Join(s.dir, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(s.dir, name), append(args, "-amqp", s.amqp)...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", name, err), log.Close())
	}
	p := &process{cmd: cmd, log: log, ended: make(chan struct{})}
	go func() {
		defer close(p.ended)
		p.err = errors.Join(cmd.Wait(), log.Close())
	}()
	return p, nil
}

// wait returns when the process has ended, with its error.
func (p *process) wait() error {
	<-p.ended
	if p.err != nil {
		return fmt.Errorf("%w; see %s", p.err, p.log.Name())
	}
	return nil
}

// kill ends the process as a power cut would, and waits for its end.
func (p *process) kill() error {
	err := p.cmd.Process.Kill()
	<-p.ended
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// terminate asks the process to finish what it has begun, and returns its error.
func (p *process) terminate() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return p.wait()
}
