package job_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/job"
	"github.com/errandq/errand/topology"
)

// A recorder is a broker that keeps what it is told.
type recorder struct {
	mu        sync.Mutex
	declared  []string // each topology
	published [][]broker.Message
	// publish and declare decide what a call returns; nil means nil.
	publish func(call int, ms []broker.Message) error
	declare func(call int) error
}

func (r *recorder) Declare(_ context.Context, t topology.Topology) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.declared = append(r.declared, t.String())
	if r.declare != nil {
		return r.declare(len(r.declared))
	}
	return nil
}

func (r *recorder) Publish(_ context.Context, ms ...broker.Message) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.published = append(r.published, slices.Clone(ms))
	if r.publish != nil {
		return r.publish(len(r.published), ms)
	}
	return nil
}

// unroutable is Publish's error for one message.
func unroutable(m broker.Message) error {
	return &broker.PublishError{ID: m.ID, Exchange: m.Exchange, Key: m.Key, Err: fmt.Errorf("%w: no queue", broker.ErrUnroutable)}
}

var (
	ship    = job.Define[order]("ship", job.Queue("orders"))
	theirs  = job.Define[order]("ship", job.Queue("theirs", topology.Existing()))
	adopted = job.Define[order]("ship", job.Queue("adopted", topology.Existing(), topology.Retries()))
)

func send(t *testing.T, s *job.Sender, jobs ...job.Job) {
	t.Helper()
	if err := s.Send(t.Context(), jobs...); err != nil {
		t.Fatal(err)
	}
}

func TestSendAddressesEachJob(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		path := topology.Route("", "orders", time.Hour)
		late := ship.New(order{}, job.Delay(time.Hour))
		time.Sleep(2 * time.Hour)
		tests := []struct {
			name          string
			job           job.Job
			exchange, key string
			priority      uint8
		}{
			{"own queue", ship.New(order{}, job.Priority(5)), "errand.jobs", "orders", 5},
			{"delayed: without priority", ship.New(order{}, job.Delay(time.Hour), job.Priority(5)), path.Exchange, path.Key, 0},
			{"delay is over", late, "errand.jobs", "orders", 0},
			{"existing queue", theirs.New(order{}, job.Priority(5)), "", "theirs", 5},
			{"existing queue with retries", adopted.New(order{}), "", "adopted", 0},
			{"existing queue with retries, delayed", adopted.New(order{}, job.Delay(time.Hour)),
				path.Exchange, topology.Route("", "adopted", time.Hour).Key, 0},
		}
		for _, test := range tests {
			r := &recorder{}
			send(t, job.NewSender(r, ""), test.job)
			m := r.published[0][0]
			if m.Exchange != test.exchange || m.Key != test.key || m.Priority != test.priority || m.ID != test.job.ID {
				t.Errorf("%s: went to %q with key %q and priority %d, want %q, %q, %d",
					test.name, m.Exchange, m.Key, m.Priority, test.exchange, test.key, test.priority)
			}
		}
	})
}

func TestSendDeclaresOnce(t *testing.T) {
	t.Parallel()
	r := &recorder{}
	s := job.NewSender(r, "shop")
	for range 3 {
		send(t, s, ship.New(order{}), theirs.New(order{}), ship.New(order{}))
	}
	want := []string{topology.Work("shop", "orders").String(), topology.Work("shop", "theirs", topology.Existing()).String()}
	if !slices.Equal(r.declared, want) {
		t.Errorf("declared\n%s\nwant\n%s", strings.Join(r.declared, "\n"), strings.Join(want, "\n"))
	}
	if len(r.published) != 3 || len(r.published[0]) != 3 {
		t.Errorf("%d calls of Publish, want one for each Send", len(r.published))
	}
}

func TestSendDeclaresTheLadderUpToTheHighestInUse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{}
		s := job.NewSender(r, "")
		var want []string
		step := func(wantLadder time.Duration, delays ...time.Duration) {
			t.Helper()
			var jobs []job.Job
			for _, d := range delays {
				jobs = append(jobs, ship.New(order{}, job.Delay(d)))
			}
			send(t, s, jobs...)
			if len(want) == 0 {
				want = append(want, topology.Work("", "orders").String())
			}
			if wantLadder > 0 {
				want = append(want, topology.Ladder("", wantLadder).String())
			}
			if !slices.Equal(r.declared, want) {
				t.Errorf("delays %v: declared\n%s\nwant\n%s", delays, strings.Join(r.declared, "\n"), strings.Join(want, "\n"))
			}
		}
		step(0, 0)
		step(time.Minute, time.Second, time.Minute, 0)
		step(0, time.Minute)
		step(0, time.Millisecond)
		step(time.Hour, time.Hour)
		step(0, time.Minute)
	})
}

func TestSendDeclaresAgainWhatIsGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{}
		s := job.NewSender(r, "")
		gone, fine, refused := ship.New(order{}, job.Delay(time.Hour)), adopted.New(order{}), ship.New(order{})
		send(t, s, gone, fine, refused)
		before := len(r.declared)
		r.publish = func(call int, ms []broker.Message) error {
			if call > 2 {
				return nil
			}
			nacked := &broker.PublishError{ID: refused.ID, Exchange: ms[2].Exchange, Key: ms[2].Key, Err: broker.ErrNacked}
			return errors.Join(unroutable(ms[0]), nacked)
		}
		err := s.Send(t.Context(), gone, fine, refused)
		if fs := broker.Failures(err); len(fs) != 1 || fs[0].ID != refused.ID || !errors.Is(err, broker.ErrNacked) || errors.Is(err, broker.ErrUnroutable) {
			t.Errorf("got %v, want only the refusal", err)
		}
		if last := r.published[len(r.published)-1]; len(r.published) != 3 || len(last) != 1 || last[0].ID != gone.ID {
			t.Errorf("sent again: %+v, want only the one that was unroutable", last)
		}
		want := []string{topology.Work("", "orders").String(), topology.Ladder("", time.Hour).String()}
		if got := r.declared[before:]; !slices.Equal(got, want) {
			t.Errorf("declared again\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

func TestSendGivesUpOnWhatStaysUnroutable(t *testing.T) {
	t.Parallel()
	r := &recorder{publish: func(_ int, ms []broker.Message) error { return unroutable(ms[0]) }}
	err := job.NewSender(r, "").Send(t.Context(), ship.New(order{}))
	if !errors.Is(err, broker.ErrUnroutable) || len(r.published) != 2 {
		t.Errorf("got %v after %d tries, want ErrUnroutable after 2", err, len(r.published))
	}
}

func TestSendKeepsAnUnroutableErrorWithoutAMessage(t *testing.T) {
	t.Parallel()
	r := &recorder{publish: func(int, []broker.Message) error { return broker.ErrUnroutable }}
	if err := job.NewSender(r, "").Send(t.Context(), ship.New(order{})); !errors.Is(err, broker.ErrUnroutable) {
		t.Errorf("got %v, want ErrUnroutable: nothing was sent", err)
	}
}

func TestSendTellsJobsWithOneIDApart(t *testing.T) {
	t.Parallel()
	r := &recorder{publish: func(call int, ms []broker.Message) error {
		if call > 1 {
			return nil
		}
		return unroutable(ms[1])
	}}
	send(t, job.NewSender(r, ""), ship.New(order{}, job.ID("same")), theirs.New(order{}, job.ID("same")))
	if again := r.published[1]; len(again) != 1 || again[0].Key != "theirs" {
		t.Errorf("sent again: %+v, want only the unroutable one", again)
	}
}

func TestInvalidJobFailsAllBeforeAnythingIsSent(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		bad  job.Job
		want string
	}{
		{"mistake", ship.New(order{}, job.Delay(-1)), "negative"},
		{"not made by New", job.Job{Kind: "ship"}, "Kind.New"},
		{"delay on an existing queue", theirs.New(order{}, job.Delay(time.Minute)), "topology.Retries()"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := &recorder{}
			s := job.NewSender(r, "")
			err := s.Send(t.Context(), ship.New(order{}), test.bad)
			if !errors.Is(err, job.ErrInvalid) || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "job 2 of 2") {
				t.Errorf("got %v, want ErrInvalid for job 2 of 2 with %q", err, test.want)
			}
			if err := s.Send(t.Context(), test.bad); !errors.Is(err, job.ErrInvalid) || strings.Contains(err.Error(), "1 of 1") {
				t.Errorf("alone: got %v, want ErrInvalid without a number", err)
			}
			if err := s.SendAfter(t.Context(), time.Second, test.bad); !errors.Is(err, job.ErrInvalid) {
				t.Errorf("SendAfter: got %v, want ErrInvalid", err)
			}
			if len(r.published)+len(r.declared) > 0 {
				t.Errorf("sent %v, declared %v, want nothing", r.published, r.declared)
			}
		})
	}
}

func TestDeclareErrors(t *testing.T) {
	t.Parallel()
	errLocked := errors.New("locked")
	tests := []struct {
		name string
		fail int // the call of Declare that fails
	}{
		{"queue", 1},
		{"ladder", 2},
		{"queue, the second time", 3},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := &recorder{
				declare: func(call int) error {
					if call == test.fail {
						return errLocked
					}
					return nil
				},
				publish: func(_ int, ms []broker.Message) error { return unroutable(ms[0]) },
			}
			s := job.NewSender(r, "")
			if err := s.Send(t.Context(), ship.New(order{}, job.Delay(time.Minute))); !errors.Is(err, errLocked) {
				t.Errorf("got %v, want what Declare said", err)
			}
			r.publish = nil
			send(t, s, ship.New(order{}, job.Delay(time.Minute)))
			if len(r.declared) <= test.fail {
				t.Error("what could not be declared was not tried again")
			}
		})
	}
}

func TestSendAfter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{}
		s := job.NewSender(r, "")
		j := ship.New(order{}, job.Delay(time.Hour))
		for _, delay := range []time.Duration{-1, 0, time.Minute} {
			if err := s.SendAfter(t.Context(), delay, j); err != nil {
				t.Fatal(err)
			}
		}
		path := topology.Route("", "orders", time.Minute)
		for i, want := range []string{"errand.jobs", "errand.jobs", path.Exchange} {
			m := r.published[i][0]
			if m.Exchange != want {
				t.Errorf("copy %d went to %s, want %s: only the delay counts", i, m.Exchange, want)
			}
			if got, err := job.Parse(m); err != nil || !got.NotBefore.Equal(j.NotBefore) {
				t.Errorf("copy %d is not before %v (%v), want the job's own", i, got.NotBefore, err)
			}
		}
	})
}

func TestSendDead(t *testing.T) {
	t.Parallel()
	r := &recorder{}
	j := job.Job{Queue: "orders", Failure: &job.Failure{Error: "no type", Reason: job.Malformed}}
	if err := job.NewSender(r, "shop").SendDead(t.Context(), j); err != nil {
		t.Fatalf("a job that can't be run can't be put aside: %v", err)
	}
	if m := r.published[0][0]; m.Exchange != "shop.dead" || m.Key != "orders" || m.Headers["errand-reason"] != "malformed" {
		t.Errorf("went to %q with key %q and headers %v", m.Exchange, m.Key, m.Headers)
	}
}

func TestNewSenderPanics(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]func(){
		"nil broker":    func() { job.NewSender(nil, "") },
		"bad namespace": func() { job.NewSender(&recorder{}, "a*") },
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

func TestSenderIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	r := &recorder{}
	s := job.NewSender(r, "")
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range 50 {
				if err := s.Send(t.Context(), ship.New(order{}, job.Delay(time.Duration(n*i)*time.Second))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if len(r.published) != 400 {
		t.Errorf("%d were published, want 400", len(r.published))
	}
}
