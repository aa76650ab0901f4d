//go:build unix

package devserver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// startPrivate starts a node of the installed RabbitMQ, and a broken test leaves none.
func startPrivate(t *testing.T, o Options) (*Server, *node) {
	t.Helper()
	s, err := startInstalled(t.Context(), o, thisMachine())
	if err != nil {
		t.Skipf("no installed RabbitMQ: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	t.Log(s)
	return s, s.backend.(*node)
}

func TestTwoSideBySideThenStop(t *testing.T) {
	t.Parallel()
	s, n := startPrivate(t, Options{})
	login(t, shared.URL(t))
	login(t, s.URL())
	pids := processes(t, n.dir)
	if len(pids) < 3 {
		t.Fatalf("got processes %v, want those of epmd, the shell and the broker", pids)
	}
	for range 2 {
		if err := s.Stop(); err != nil {
			t.Fatal(err)
		}
	}
	expectGone(t, n.dir, pids)
}

func TestKilledParentLeavesNothing(t *testing.T) {
	t.Parallel()
	shared.Server(t) // started before: two at a time are enough for a small machine
	child, dir := startAbandoned(t, "installed")
	pids := processes(t, dir)
	if len(pids) < 3 {
		t.Errorf("got processes %v, want those of epmd, the shell and the broker", pids)
	}
	killAbandoned(t, child)
	expectGone(t, dir, pids)
}

func TestCancelledStartLeavesNothing(t *testing.T) {
	if _, err := findInstalled(searchPath()); err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	for _, after := range []time.Duration{500 * time.Millisecond, 2 * time.Second} {
		ctx, cancel := context.WithTimeout(t.Context(), after)
		_, err := Start(ctx, Options{Private: true, Image: "127.0.0.1:1/no/such:image"})
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("cancelled after %v: got %v, want context.DeadlineExceeded", after, err)
		}
	}
	expectGone(t, filepath.Join(dir, "errand-rabbitmq-"), nil)
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestRestartKeepsWhatWasDeclared(t *testing.T) {
	t.Parallel()
	s, n := startPrivate(t, Options{})
	url, err := s.NewVhost(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	before := n.broker.cmd.Process.Pid
	lost := login(t, url)
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if now := n.broker.cmd.Process.Pid; now == before {
		t.Errorf("broker: got process %d again, want a new one", now)
	}
	if _, err := lost.receive(50); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("old connection: got %v, want it cut", err)
	}
	login(t, url)
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := s.Restart(t.Context()); err == nil {
		t.Error("Restart after Stop: got nil, want an error")
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	s, _ := startPrivate(t, Options{Config: "default_user_tags.administrator = true\ndefault_user_tags.monitoring = true"})
	var users []struct {
		Tags tags `json:"tags"`
	}
	if err := s.manage.call(t.Context(), http.MethodGet, "/api/users", nil, nil, &users); err != nil {
		t.Fatal(err)
	}
	if len(users) != 1 || !strings.Contains(fmt.Sprint(users[0].Tags), "monitoring") {
		t.Errorf("got users %v, want the tag that Config asks for", users)
	}
}

func TestBrokenConfigShowsLog(t *testing.T) {
	t.Parallel()
	if _, err := findInstalled(searchPath()); err != nil {
		t.Skip(err)
	}
	_, err := startInstalled(t.Context(), Options{Config: "no_such_setting = 1\n"}, thisMachine())
	if err == nil || !strings.Contains(err.Error(), "no_such_setting") {
		t.Errorf("got %v, want the log's words about no_such_setting", err)
	}
	t.Log(err)
}

// processes returns those that have dir in their command line or environment.
func processes(t *testing.T, dir string) []int {
	t.Helper()
	// "e" adds the environment, "ww" all of it, on Linux and macOS.
	out, err := exec.Command("ps", "axeww", "-o", "pid=,command=").Output()
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for line := range strings.Lines(string(out)) {
		var pid int
		if strings.Contains(line, dir) {
			if _, err := fmt.Sscan(line, &pid); err != nil {
				t.Fatal(err)
			}
			pids = append(pids, pid)
		}
	}
	return pids
}

// expectGone waits for processes that were killed to go, and for their directory.
func expectGone(t *testing.T, dir string, pids []int) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		left := processes(t, dir)
		_, err := os.Stat(dir)
		_, errGone := os.Stat(dir + ".gone")
		if len(left) == 0 && os.IsNotExist(err) && os.IsNotExist(errGone) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("left behind: processes %v of %v, %s: %v, %s.gone: %v", left, pids, dir, err, dir, errGone)
		}
		// Reaping by init can't be waited for, only looked at.
		time.Sleep(20 * time.Millisecond)
	}
}
