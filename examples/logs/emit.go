package main

import (
	"context"
	"errors"
	"time"

	"github.com/errandq/errand/event"
	"github.com/errandq/errand/producer"
)

var lines = []Line{
	{Device: "cron", Severity: "info", Text: "backup starts"},
	{Device: "kernel", Severity: "info", Text: "eth0 is up"},
	{Device: "cron", Severity: "error", Text: "backup: no space left"},
	{Device: "disk", Severity: "critical", Text: "sda fails"},
	{Device: "kernel", Severity: "error", Text: "I/O error on sda"},
	{Device: "mail", Severity: "info", Text: "3 messages sent"},
	{Device: "kernel", Severity: "critical", Text: "that is all", Last: true},
}

// emit logs all lines.
func emit(ctx context.Context, p *producer.Producer) error {
	for _, l := range lines {
		if err := p.Enqueue(ctx, events(l)...); err != nil {
			return err
		}
	}
	return nil
}

// awaitListeners logs a first line, again and again until somebody hears it in each way.
func awaitListeners(ctx context.Context, p *producer.Producer) error {
	hello := Line{Device: "kernel", Severity: "critical", Text: "the log begins"}
	for _, e := range events(hello, event.Mandatory()) {
		err := p.Enqueue(ctx, e)
		for ; errors.Is(err, event.ErrUnmatched); err = p.Enqueue(ctx, e) {
			select {
			case <-time.After(50 * time.Millisecond):
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}
