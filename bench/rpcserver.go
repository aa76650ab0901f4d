package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// callServers are the ways to answer calls. They return when ctx ends, and call ready when
// they answer.
var callServers = map[string]func(ctx context.Context, url string, ready func()) error{
	"hand":   serveByHand,
	"errand": serveOurs,
}

// serveCalls is the other process: it answers calls until its standard input is closed. When
// it is ready, and then for each line that it reads, it writes the CPU time that it has
// used, in nanoseconds.
func serveCalls(ctx context.Context, how, url string) error {
	serve := callServers[how]
	if serve == nil {
		return fmt.Errorf("-serve %q: no such way", how)
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	tell := func() { fmt.Println(cpuTime().Nanoseconds()) }
	return serve(ctx, url, func() {
		tell()
		go func() {
			defer stop()
			for asked := bufio.NewScanner(os.Stdin); asked.Scan(); {
				tell()
			}
		}()
	})
}

// A callServer is that process as its parent sees it.
type callServer struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

// startCallServer returns when the server answers calls.
func startCallServer(ctx context.Context, how, url string) (*callServer, error) {
	cmd := exec.CommandContext(ctx, os.Args[0], "-serve", how, "-amqp", url)
	cmd.Stderr = os.Stderr
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
