package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/errandq/errand/bench/contest"
)

// patience is how long a server may take to start.
const patience = time.Minute

// A private is a directory in which a server of our own lives.
type private struct {
	dir   string
	as    *syscall.Credential // not root, where we are: databases refuse that
	cmd   *exec.Cmd
	input io.Closer
	ended chan struct{} // closed when the server has
}

func newPrivate(name string) (_ *private, err error) {
	dir, err := os.MkdirTemp("", "errand-"+name+"-")
	if err != nil {
		return nil, err
	}
	p := &private{dir: dir}
	if os.Getuid() != 0 {
		return p, nil
	}
	if p.as, err = nobody(); err == nil {
		err = os.Chown(dir, int(p.as.Uid), int(p.as.Gid))
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return p, nil
}

func nobody() (*syscall.Credential, error) {
	u, err := user.Lookup("nobody")
	if err != nil {
		return nil, fmt.Errorf("%w: root can't run it, and there is no other user: %w", contest.ErrMissing, err)
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, errors.Join(err1, err2)
}

func (p *private) command(args ...string) *exec.Cmd {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = p.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: p.as}
	cmd.Env = append(os.Environ(), "HOME="+p.dir)
	return cmd
}

// run runs a program to its end.
func (p *private) run(args ...string) error {
	if out, err := p.command(args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%q: %w\n%s", args, err, out)
	}
	return nil
}

// serve starts the server. The shell before it writes the server's process ID, and ends it
// as soon as our end of the pipe is closed, which it is however our process ends.
func (p *private) serve(kill string, args ...string) error {
	const script = `kill=$1; shift; "$@" </dev/null >log 2>&1 & echo $! >pid; cat >/dev/null; $kill $!; wait`
	p.cmd = p.command(append([]string{"/bin/sh", "-c", script, "sh", kill}, args...)...)
	input, err := p.cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := p.cmd.Start(); err != nil {
		return err
	}
	p.input, p.ended = input, make(chan struct{})
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait() // it is killed
	}()
	return nil
}

// await returns when ping does without an error.
func (p *private) await(ctx context.Context, ping func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := ping(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return p.failed(errors.Join(err, ctx.Err()))
		case <-p.ended:
			return p.failed(errors.New("it has ended"))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (p *private) failed(err error) error {
	log, readErr := os.ReadFile(filepath.Join(p.dir, "log"))
	return fmt.Errorf("the server does not answer: %w\n%s", errors.Join(err, readErr), log)
}

// pid is the server's, or 0.
func (p *private) pid() int {
	text, err := os.ReadFile(filepath.Join(p.dir, "pid"))
	if err != nil {
		return 0
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0
	}
	return n
}

func (p *private) stop() error {
	var err error
	if p.input != nil {
		err = p.input.Close()
		<-p.ended
	}
	return errors.Join(err, os.RemoveAll(p.dir))
}

// find returns the path of a program. Debian keeps PostgreSQL's out of the way.
func find(name string) (string, error) {
	for _, dir := range []string{"/usr/lib/postgresql/*/bin", "/opt/homebrew/opt/postgresql*/bin"} {
		if found, err := filepath.Glob(filepath.Join(dir, name)); err == nil && len(found) > 0 {
			return found[len(found)-1], nil
		}
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("%w: %s (scripts/setup.sh bench installs it)", contest.ErrMissing, name)
	}
	return path, nil
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, errors.Join(err, l.Close())
}
