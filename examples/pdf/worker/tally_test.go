package main

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing"

	"github.com/errandq/errand/job"
	"github.com/errandq/errand/retry"
	"github.com/errandq/errand/worker"
)

func TestTally(t *testing.T) {
	t.Parallel()
	tally := newTally(map[string]retry.Policy{"pdf.render": retry.Exponential{}, "mail.send": retry.Steps{0}})
	plain := errors.New("later")
	lost, cancel := context.WithCancelCause(t.Context())
	cancel(worker.ErrDeliveryLost)
	for _, run := range []struct {
		ctx     context.Context
		kind    string
		attempt int
		err     error
	}{
		{t.Context(), "pdf.render", 1, nil},
		{t.Context(), "pdf.render", 2, nil},
		{t.Context(), "mail.send", 1, nil},
		{t.Context(), "pdf.render", 1, plain},
		{t.Context(), "pdf.render", 1, retry.Permanent(errors.New("broken"))},
		{t.Context(), "mail.send", 2, plain}, // the policy's last attempt
		{lost, "mail.send", 2, plain},
	} {
		handler := tally.count(func(context.Context, job.Job) error { return run.err })
		j := job.Job{Kind: run.kind, Attempt: run.attempt, ID: fmt.Sprint(run.kind, run.attempt)}
		if err := handler(run.ctx, j); err != run.err {
			t.Errorf("got %v, want the handler's error %v", err, run.err)
		}
	}
	got := tally.summary(worker.Stats{Retried: 1, Dead: 2})
	want := totals{PDFs: 2, Mails: 1, Retried: 1, Dead: 2, Reasons: []reason{
		{Kind: "pdf.render", Job: "pdf.render1", Error: "broken"},
		{Kind: "mail.send", Job: "mail.send2", Error: "later"},
	}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
