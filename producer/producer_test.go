package producer_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/job"
	"github.com/errandq/errand/producer"
	"github.com/errandq/errand/topology"
)

// A fakeBroker keeps what it is told, and returns err from Publish.
type fakeBroker struct {
	declared  topology.Topology
	published []broker.Message
	err       error
}

func (f *fakeBroker) Declare(_ context.Context, t topology.Topology) error {
	f.declared = topology.Join(f.declared, t)
	return nil
}

func (f *fakeBroker) Publish(_ context.Context, ms ...broker.Message) error {
	f.published = append(f.published, ms...)
	if f.err != nil {
		return &broker.PublishError{ID: ms[0].ID, Exchange: ms[0].Exchange, Key: ms[0].Key, Err: f.err}
	}
	return nil
}

type render struct {
	OrderID string `json:"order_id"`
}

var renderPDF = job.Define[render]("pdf.render", job.Queue("pdf"))

func TestZeroConfig(t *testing.T) {
	t.Parallel()
	f := &fakeBroker{}
	j := renderPDF.New(render{OrderID: "42"})
	if err := producer.New(f, producer.Config{}).Enqueue(t.Context(), j); err != nil {
		t.Fatal(err)
	}
	if want := topology.Work("errand", "pdf"); f.declared.String() != want.String() {
		t.Errorf("declared\n%s\nwant\n%s", f.declared, want)
	}
	if m := f.published[0]; m.ID != j.ID || m.Exchange != "errand.jobs" || m.Key != "pdf" || m.AppID != "" || m.Transient {
		t.Errorf("published %+v, want the job, persistent, with key pdf", m)
	}
}

func TestNamespace(t *testing.T) {
	t.Parallel()
	f := &fakeBroker{}
	if err := producer.New(f, producer.Config{Namespace: "shop"}).Enqueue(t.Context(), renderPDF.New(render{})); err != nil {
		t.Fatal(err)
	}
	if got := f.published[0].Exchange; got != "shop.jobs" {
		t.Errorf("published to %s, want shop.jobs", got)
	}
}

func TestAppIDIsGivenToJobsThatHaveNone(t *testing.T) {
	t.Parallel()
	f := &fakeBroker{}
	jobs := []job.Job{renderPDF.New(render{}), renderPDF.New(render{})}
	jobs[1].AppID = "cron"
	if err := producer.New(f, producer.Config{AppID: "shop"}).Enqueue(t.Context(), jobs...); err != nil {
		t.Fatal(err)
	}
	if a, b := f.published[0].AppID, f.published[1].AppID; a != "shop" || b != "cron" {
		t.Errorf("sent with app IDs %q and %q, want shop and the job's own", a, b)
	}
	if jobs[0].AppID != "" {
		t.Errorf("the caller's job has got app ID %q", jobs[0].AppID)
	}
}

func TestNoJobs(t *testing.T) {
	t.Parallel()
	f := &fakeBroker{}
	if err := producer.New(f, producer.Config{AppID: "shop"}).Enqueue(t.Context()); err != nil {
		t.Error(err)
	}
	if len(f.published) > 0 || !f.declared.IsZero() {
		t.Errorf("published %v, declared %v, want nothing", f.published, f.declared)
	}
}

func TestErrorsWrapTheirSentinel(t *testing.T) {
	t.Parallel()
	for _, want := range []error{broker.ErrNacked, broker.ErrUnroutable, broker.ErrTooLarge, broker.ErrUnconfirmed, broker.ErrClosed} {
		j := renderPDF.New(render{})
		err := producer.New(&fakeBroker{err: want}, producer.Config{}).Enqueue(t.Context(), j)
		if !errors.Is(err, want) || !strings.HasPrefix(err.Error(), "producer: enqueue: ") || !strings.Contains(err.Error(), j.ID) {
			t.Errorf("got %v, want %v with the job's ID", err, want)
		}
		if fs := broker.Failures(err); len(fs) != 1 || fs[0].ID != j.ID {
			t.Errorf("%v: Failures are %v, want the job's", err, fs)
		}
	}
}

func TestInvalidJobSendsNothing(t *testing.T) {
	t.Parallel()
	f := &fakeBroker{}
	err := producer.New(f, producer.Config{}).Enqueue(t.Context(), renderPDF.New(render{}), renderPDF.New(render{}, job.Delay(-1)))
	if !errors.Is(err, job.ErrInvalid) || len(f.published) > 0 || !f.declared.IsZero() {
		t.Errorf("got %v, published %v, want ErrInvalid and nothing sent", err, f.published)
	}
}

func TestNewPanics(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]func(){
		"nil broker":    func() { producer.New(nil, producer.Config{}) },
		"bad namespace": func() { producer.New(&fakeBroker{}, producer.Config{Namespace: "amq"}) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
}
