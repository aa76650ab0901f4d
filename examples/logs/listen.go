package main

import (
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/errandq/errand/event"
	"github.com/errandq/errand/worker"
)

// keep writes all lines to file. Its queue keeps them while it is away.
func keep(w *worker.Worker, file io.Writer, last func()) {
	event.Subscribe(w, All, event.Durable("log.keep"), func(_ context.Context, l Line) error {
		if _, err := fmt.Fprintln(file, l); err != nil {
			return err // it is tried again: a full disk loses no line
		}
		if l.Last {
			last()
		}
		return nil
	})
}

// show writes what is worth a look to screen. What happens while it is away is missed.
func show(w *worker.Worker, screen io.Writer, last func()) {
	var mu sync.Mutex // the three come at once
	as := func(how string) func(context.Context, Line) error {
		return func(_ context.Context, l Line) error {
			mu.Lock()
			defer mu.Unlock()
			_, err := fmt.Fprintf(screen, "%-12s %s\n", how, l)
			if l.Last {
				last()
			}
			return err
		}
	}
	event.Subscribe(w, BySeverity, event.Temporary(event.On("error"), event.On("critical")), as("by severity"))
	event.Subscribe(w, ByDevice, event.Temporary(event.On("kernel.*"), event.On("*.critical")), as("by device"))
	event.Subscribe(w, ByLabel, event.Temporary(
		event.All(map[string]any{"device": "cron", "severity": "error"}),
		event.Any(map[string]any{"severity": "critical"}),
	), as("by label"))
}
