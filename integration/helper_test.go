package integration_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/worker"
)


// quiet drops what errand logs; tests that look at the log make their own.
var quiet = slog.New(slog.DiscardHandler)

// dial connects to url until the test ends.
func dial(t *testing.T, url string) *broker.Conn {
	t.Helper()
	conn, err := broker.Dial(t.Context(), url, broker.Config{Name: t.Name(), Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	})
	return conn
}

// start runs w until the test ends or stop is called; stop waits for it.
func start(t *testing.T, w *worker.Worker) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(time.Minute):
			t.Error("Run did not return within a minute")
		}
	})
	t.Cleanup(stop)
	return stop
}

// eventually waits until ok, for at most a minute.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("a minute has passed without: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
