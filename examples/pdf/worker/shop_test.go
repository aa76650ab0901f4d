package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/errandq/errand/examples/pdf/invoice"
	"github.com/errandq/errand/examples/pdf/jobs"
	"github.com/errandq/errand/examples/pdf/mail"
	"github.com/errandq/errand/job"
	"github.com/errandq/errand/retry"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// recorder is an enqueuer and a mailer that keeps what it gets, or fails with err.
type recorder struct {
	err     error
	jobs    []job.Job
	letters []mail.Letter
}

func (r *recorder) Enqueue(_ context.Context, work ...job.Job) error {
	if r.err == nil {
		r.jobs = append(r.jobs, work...)
	}
	return r.err
}

func (r *recorder) Send(_ context.Context, letter mail.Letter) error {
	if r.err == nil {
		r.letters = append(r.letters, letter)
	}
	return r.err
}

func testShop(t *testing.T) (*shop, *recorder, string) {
	t.Helper()
	dir := t.TempDir()
	s, err := open(config{dir: dir, smtp: "localhost:1", from: "shop@example.com", seller: "Teapots & Sons"}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{}
	s.enqueuer, s.sender = r, r
	return s, r, dir
}

func testOrder() invoice.Order {
	return invoice.Order{
		ID:       "A-1",
		PlacedAt: time.Date(2026, 3, 14, 15, 9, 26, 0, time.UTC),
		Currency: "EUR",
		Customer: invoice.Customer{Name: "Ada Lovelace", Email: "ada@example.com", Address: "London"},
		Items:    []invoice.Item{{Description: "Teapot", Quantity: 1, UnitPrice: 4950}},
	}
}

func TestRenderStoresAndAsksForTheMail(t *testing.T) {
	t.Parallel()
	shop, recorder, dir := testShop(t)
	var files [2]string
	for n := range files { // a job that is worked twice
		if err := shop.render(t.Context(), testOrder()); err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(filepath.Join(dir, "A-1.pdf"))
		if err != nil {
			t.Fatal(err)
		}
		files[n] = string(content)
	}
	if files[0] != files[1] || !strings.HasPrefix(files[0], "%PDF-") {
		t.Error("the second run stored something else")
	}
	if len(recorder.jobs) != 2 || recorder.jobs[0].ID != "mail-A-1" || recorder.jobs[1].ID != "mail-A-1" || recorder.jobs[0].Queue != "mail" {
		t.Errorf("got %+v, want the same mail job twice", recorder.jobs)
	}
	want := jobs.Letter{OrderID: "A-1", Name: "Ada Lovelace", Email: "ada@example.com"}
	if got, err := jobs.Mail.Decode(recorder.jobs[0]); err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestRenderErrors(t *testing.T) {
	t.Parallel()
	shop, recorder, dir := testShop(t)
	broken := testOrder()
	broken.Items = nil
	if err := shop.render(t.Context(), broken); !retry.IsPermanent(err) || !errors.Is(err, invoice.ErrInvalid) {
		t.Errorf("broken order: got %v, want a permanent ErrInvalid", err)
	}
	if files, err := filepath.Glob(filepath.Join(dir, "*.pdf")); err != nil || len(files) != 0 {
		t.Errorf("broken order: got files %v, %v", files, err)
	}
	recorder.err = errors.New("outage")
	if err := shop.render(t.Context(), testOrder()); !errors.Is(err, recorder.err) || retry.IsPermanent(err) {
		t.Errorf("mail not enqueued: got %v, want the plain error, so that the job is retried", err)
	}
}

func TestRenderWithoutMail(t *testing.T) {
	t.Parallel()
	shop, recorder, _ := testShop(t)
	shop.sender = nil
	if err := shop.render(t.Context(), testOrder()); err != nil || len(recorder.jobs) != 0 {
		t.Errorf("got %v and jobs %v, want none", err, recorder.jobs)
	}
}

func TestMailIsSentOnce(t *testing.T) {
	t.Parallel()
	shop, recorder, dir := testShop(t)
	letter := jobs.Letter{OrderID: "A-1", Name: "Ada", Email: "ada@example.com"}
	recorder.err = errors.New("421 later")
	if err := shop.mail(t.Context(), letter); !errors.Is(err, recorder.err) {
		t.Errorf("got %v, want the mailer's error", err)
	}
	recorder.err = nil
	for range 2 {
		if err := shop.mail(t.Context(), letter); err != nil {
			t.Fatal(err)
		}
	}
	if len(recorder.letters) != 1 {
		t.Fatalf("got %d letters, want 1", len(recorder.letters))
	}
	got := recorder.letters[0]
	if got.ID != "invoice-A-1" || got.To != "ada@example.com" || got.Attachment != filepath.Join(dir, "A-1.pdf") {
		t.Errorf("got %+v", got)
	}
}

func TestMailOfAnImpossibleOrder(t *testing.T) {
	t.Parallel()
	shop, _, _ := testShop(t)
	if err := shop.mail(t.Context(), jobs.Letter{OrderID: "../x"}); !retry.IsPermanent(err) {
		t.Errorf("got %v, want a permanent error", err)
	}
}

func TestPauseEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		if err := wait(t.Context(), time.Hour); err != nil || time.Since(begin) != time.Hour {
			t.Errorf("got %v after %s, want nil after an hour", err, time.Since(begin))
		}
		reason := errors.New("shutdown")
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(reason)
		if err := wait(ctx, time.Hour); !errors.Is(err, reason) {
			t.Errorf("got %v, want the context's cause", err)
		}
	})
}
