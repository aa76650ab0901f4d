package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// programs are the examples' commands, built.
type programs struct{ dir string }

// build compiles the commands into dir.
func build(ctx context.Context, dir string) (programs, error) {
	for _, name := range []string{"pdf/producer", "pdf/worker", "backup/producer", "backup/worker", "rpc/server", "rpc/caller"} {
		out := filepath.Join(dir, filepath.FromSlash(name))
		cmd := exec.CommandContext(ctx, "go", "build", "-o", out, "github.com/errandq/errand/examples/"+name)
		cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
		if err := cmd.Run(); err != nil {
			return programs{}, fmt.Errorf("build %s: %w", name, err)
		}
	}
	return programs{dir}, nil
}

// A process is a running command. Its output goes to a file.
type process struct {
	name string
	cmd  *exec.Cmd
	log  *os.File
	done chan struct{} // closed when it has ended
	err  error         // of Wait; readable once done is closed
}

// start runs a command of the examples, name as build knows it, until it ends or ctx does.
func (p programs) start(ctx context.Context, name, log string, args ...string) (*process, error) {
	if err := os.MkdirAll(filepath.Dir(log), 0o755); err != nil {
		return nil, err
	}
	f, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(p.dir, filepath.FromSlash(name)), args...)
	cmd.Stdout, cmd.Stderr = f, f
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 40 * time.Second // more than a worker's grace
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", name, err), f.Close())
	}
	pr := &process{name: name, cmd: cmd, log: f, done: make(chan struct{})}
	go func() {
		pr.err = errors.Join(cmd.Wait(), f.Close())
		close(pr.done)
	}()
	return pr, nil
}

// wait returns when the process has ended, with its error.
func (p *process) wait() error {
	<-p.done
	if p.err != nil {
		return fmt.Errorf("%s: %w; see %s", p.name, p.err, p.log.Name())
	}
	return nil
}

// kill ends the process as a power cut would, and waits for its end.
func (p *process) kill() error {
	err := p.cmd.Process.Kill()
	<-p.done
	return err
}

// terminate asks the process to drain, and returns its error.
func (p *process) terminate() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return p.wait()
}

// until waits for a condition, or for the end of ctx or of a process that must not end.
func until(ctx context.Context, what string, needed *process, ok func() (bool, error)) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if done, err := ok(); done || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("waiting until %s: %w", what, context.Cause(ctx))
		case <-needed.done:
			return fmt.Errorf("waiting until %s: %s ended: %w", what, needed.name, needed.err)
		}
	}
}
