package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/errandq/errand/devserver"
	"go.uber.org/goleak"
)

var rabbit = devserver.NewShared(devserver.Options{})

func TestMain(m *testing.M) { goleak.VerifyTestMain(rabbit.Wrap(m)) }

// Each subscription gets its lines, in order, and the program ends by itself.
func TestRun(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	file, url := filepath.Join(t.TempDir(), "log"), rabbit.URL(t)
	var screen bytes.Buffer
	if err := run(ctx, []string{"-amqp", url, "-file", file}, &screen); err != nil {
		t.Fatal(err)
	}
	kept, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	const before = len("severity device   ")
	checkLines(t, string(kept), "", before,
		"the log begins, backup starts, eth0 is up, backup: no space left, sda fails, I/O error on sda, 3 messages sent, that is all")
	for how, want := range map[string]string{
		"by severity ": "the log begins, backup: no space left, sda fails, I/O error on sda, that is all",
		"by device ":   "the log begins, eth0 is up, sda fails, I/O error on sda, that is all",
		"by label ":    "the log begins, backup: no space left, sda fails, that is all",
	} {
		checkLines(t, screen.String(), how, before+len("by severity  "), want)
	}
}

// checkLines wants what stands from a column on in the lines that begin with start.
func checkLines(t *testing.T, text, start string, column int, want string) {
	t.Helper()
	var got []string
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, start) {
			got = append(got, strings.TrimSpace(line[column:]))
		}
	}
	if g := strings.Join(got, ", "); g != want {
		t.Errorf("lines that begin with %q: got %q, want %q, of\n%s", start, g, want, text)
	}
}

func TestWrongRole(t *testing.T) {
	t.Parallel()
	err := run(t.Context(), []string{"-amqp", rabbit.URL(t), "-file", filepath.Join(t.TempDir(), "log"), "listen"}, nil)
	if err == nil || !strings.Contains(err.Error(), `there is no "listen"`) {
		t.Errorf("got %v, want that there is no such role", err)
	}
}
