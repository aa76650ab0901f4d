//go:build unix

package devserver

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// process is a child in a process group of its own, so that it and its children can be
// killed at once, and so that Ctrl-C in a terminal reaches us but not them.
type process struct {
	name string
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended and was reaped
	file string        // holds its process id while it runs
}

// launch writes the process id where the watchdog finds it, then becomes the command.
// The rename makes it fail if the watchdog has meanwhile taken the directory away: nothing
// starts unseen.
const launch = `echo $$ >"$0.new" && mv "$0.new" "$0" && exec "$@"`

// startProcess runs a command in dir, with its output in <name>.out.
func startProcess(dir, name string, env []string, command ...string) (*process, error) {
	out, err := os.OpenFile(filepath.Join(dir, name+".out"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	p := &process{name: name, done: make(chan struct{}), file: filepath.Join(dir, name+".pid")}
	p.cmd = exec.Command("/bin/sh", append([]string{"-c", launch, p.file}, command...)...)
	p.cmd.Dir, p.cmd.Env = dir, env
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() { // ends with the process, for which kill waits
		defer close(p.done)
		_ = p.cmd.Wait() // how it ended is of no interest: it says so in its log
		_ = os.Remove(p.file)
	}()
	return p, nil
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// kill kills the process group and returns when its leader is gone. Its other members
// follow within moments. Killing what has ended is not an error.
func (p *process) kill() error {
	// Until it was reaped, its number belongs to nobody else.
	if !p.ended() {
		err := syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
		if err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("kill %s (process group %d): %w", p.name, p.cmd.Process.Pid, err)
		}
	}
	select {
	case <-p.done:
		return nil
	case <-time.After(10 * time.Second):
		return fmt.Errorf("kill %s (process %d): it is still there after 10 s", p.name, p.cmd.Process.Pid)
	}
}
