package jobtest_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/errandq/errand/job"
	"github.com/errandq/errand/jobtest"
	"github.com/errandq/errand/producer"
	"github.com/errandq/errand/rpc"
	"github.com/errandq/errand/worker"
)

// T stands in for the *testing.T of your test, which an example has not got.
type T struct {
	testing.TB
	cleanups []func()
}

func (t *T) Helper()                           {}
func (t *T) Context() context.Context          { return context.Background() }
func (t *T) Cleanup(f func())                  { t.cleanups = append(t.cleanups, f) }
func (t *T) Error(args ...any)                 { fmt.Println(args...) }
func (t *T) Errorf(format string, args ...any) { fmt.Printf(format+"\n", args...) }
func (t *T) Fatal(args ...any)                 { panic(fmt.Sprint(args...)) }
func (t *T) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

// end does what happens at the end of a test.
func (t *T) end() {
	for i := range t.cleanups {
		t.cleanups[len(t.cleanups)-1-i]()
	}
}

type welcome struct{ Name string }

var sayWelcome = job.Define[welcome]("welcome")

func Example() {
	t := new(T)
	defer t.end()

	b := jobtest.NewBroker(t)
	p := producer.New(b, producer.Config{})
	if err := p.Enqueue(t.Context(), sayWelcome.New(welcome{"Ann"})); err != nil {
		t.Fatal(err)
	}
	jobtest.WantEnqueued(t, b, sayWelcome, welcome{"Ann"})

	w := worker.New(b, worker.Config{})
	worker.Handle(w, sayWelcome, func(_ context.Context, v welcome) error {
		fmt.Println("welcome,", v.Name)
		return nil
	})
	for _, worked := range jobtest.Drain(t, b, w) {
		fmt.Println(worked.Job.Kind, worked.Outcome)
	}
	jobtest.WantEnqueued(t, b, sayWelcome)
	// Output:
	// welcome, Ann
	// welcome done
}

func ExampleDrain() {
	t := new(T)
	defer t.end()

	b := jobtest.NewBroker(t)
	w := worker.New(b, worker.Config{Logger: quiet})
	worker.Handle(w, sayWelcome, func(_ context.Context, v welcome) error {
		if v.Name == "" {
			return errors.New("who is it?")
		}
		return nil
	})
	p := producer.New(b, producer.Config{})
	err := p.Enqueue(t.Context(), sayWelcome.New(welcome{"Ann"}), sayWelcome.New(welcome{}))
	if err != nil {
		t.Fatal(err)
	}
	for _, worked := range jobtest.Drain(t, b, w) {
		fmt.Println(worked.Outcome, worked.Err)
	}
	// Output:
	// done <nil>
	// retried who is it?
}

func ExampleEnqueued() {
	t := new(T)
	defer t.end()

	b := jobtest.NewBroker(t)
	p := producer.New(b, producer.Config{})
	if err := p.Enqueue(t.Context(), sayWelcome.New(welcome{"Ann"}, job.Delay(time.Hour))); err != nil {
		t.Fatal(err)
	}
	for _, found := range jobtest.Enqueued(t, b, sayWelcome) {
		fmt.Println(found.Args.Name, found.Queue, "in", time.Until(found.NotBefore).Round(time.Minute))
	}
	// Output: Ann default in 1h0m0s
}

func ExampleWantEnqueued() {
	t := new(T)
	defer t.end()

	b := jobtest.NewBroker(t)
	p := producer.New(b, producer.Config{})
	if err := p.Enqueue(t.Context(), sayWelcome.New(welcome{"Ann"})); err != nil {
		t.Fatal(err)
	}
	jobtest.WantEnqueued(t, b, sayWelcome, welcome{"Bob"})
	// Output:
	// jobs of kind "welcome" enqueued:
	//   want {"Name":"Bob"}
	//   got  {"Name":"Ann"}
	//   job 1: Name is "Ann", want "Bob"
}

func ExampleRecorder() {
	t := new(T)

	var r jobtest.Recorder
	greet := func(ctx context.Context, jobs job.Enqueuer, name string) error {
		return jobs.Enqueue(ctx, sayWelcome.New(welcome{name}))
	}
	if err := greet(t.Context(), &r, "Ann"); err != nil {
		t.Fatal(err)
	}
	for _, found := range jobtest.Recorded(t, &r, sayWelcome) {
		fmt.Println(found.Kind, found.Args.Name)
	}
	// Output: welcome Ann
}

func ExampleRun() {
	t := new(T)
	defer t.end()

	w := worker.New(jobtest.NewBroker(t), worker.Config{})
	worker.Handle(w, sayWelcome, func(_ context.Context, v welcome) error {
		fmt.Println("welcome,", v.Name)
		return nil
	})
	result := jobtest.Run(t, w, sayWelcome.New(welcome{"Ann"}))
	fmt.Println(result.Outcome)
	// Output:
	// welcome, Ann
	// done
}

func ExampleServe() {
	t := new(T)
	defer t.end()

	b := jobtest.NewBroker(t)
	double := rpc.Define[int, int]("double")
	s := rpc.NewServer(b, rpc.ServerConfig{Logger: quiet})
	rpc.Handle(s, double, func(_ context.Context, n int) (int, error) { return 2 * n, nil })
	c := jobtest.Serve(t, b, s)
	fmt.Println(double.Call(t.Context(), c, 21))
	// Output: 42 <nil>
}

func ExampleBroker_Inject() {
	t := new(T)
	defer t.end()

	b := jobtest.NewBroker(t)
	b.Inject(func(p jobtest.Publishing) jobtest.Fault {
		if p.Attempt == 1 {
			return jobtest.Refuse()
		}
		fmt.Println("attempt", p.Attempt)
		return jobtest.Fault{}
	})
	p := producer.New(b, producer.Config{})
	fmt.Println(p.Enqueue(t.Context(), sayWelcome.New(welcome{"Ann"})))
	// Output:
	// attempt 2
	// <nil>
}
