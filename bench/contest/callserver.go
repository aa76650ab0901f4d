package contest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// A callServer is the process that answers calls, as the caller's process sees it.
type callServer struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

// startCallServer returns when the server answers calls.
func startCallServer(ctx context.Context, a assignment) (*callServer, error) {
	a.Serve = true
	cmd, err := command(ctx, a)
	if err != nil {
		return nil, err
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, errors.Join(err, in.Close())
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &callServer{cmd, in, bufio.NewReader(out)}
	if _, err := s.read(); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

// command starts this program again, as a child.
func command(ctx context.Context, a assignment) (*exec.Cmd, error) {
	text, err := json.Marshal(a)
	if err != nil {
		return nil, err
	}
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, program)
	cmd.Env = append(os.Environ(), childEnv+"="+string(text))
	cmd.Stderr = os.Stderr
	cmd.WaitDelay = time.Second
	return cmd, nil
}

// cpu is the CPU time that the server has used so far.
func (s *callServer) cpu() (time.Duration, error) {
	if _, err := s.in.Write([]byte("\n")); err != nil {
		return 0, fmt.Errorf("asking the server: %w", err)
	}
	return s.read()
}

func (s *callServer) read() (time.Duration, error) {
	line, err := s.out.ReadString('\n')
	if err != nil {
		return 0, fmt.Errorf("the server's answer: %w", err)
	}
	ns, err := strconv.ParseInt(strings.TrimSpace(line), 10, 64)
	return time.Duration(ns), err
}

// stop ends the server and waits for it.
func (s *callServer) stop() error { return errors.Join(s.in.Close(), s.cmd.Wait()) }
