package event

import (
	"context"
	"errors"
	"strconv"

	"github.com/errandq/errand/job"
	"github.com/errandq/errand/retry"
)

// A Step makes a job of an event. Make it with [Job].
type Step[T any] func(e Event, place int, value T) job.Job

// Job is the step that makes a job of kind k with the arguments that mapping finds in the
// event.
//
// The job's ID follows from the event's, the topic, the subscription, the kind and the step's place. An
// event that is worked twice makes a job of the same ID, not another one, unless a new release
// has changed the order of the steps between.
func Job[T, A any](k job.Kind[A], mapping func(T) A, opts ...job.Option) Step[T] {
	return func(e Event, place int, value T) job.Job {
		name := e.Topic + "\x00" + e.Subscription + "\x00" + k.Name() + "\x00" + strconv.Itoa(place)
		id := job.ID(job.DerivedID(e.ID, name))
		return k.New(mapping(value), append([]job.Option{id}, opts...)...)
	}
}

// ErrNoEvent is returned by handlers of [Enqueue] and [EnqueueGroup] that are called outside of
// a worker.
var ErrNoEvent = errors.New("event: not in the handler of a subscription")

// Enqueue returns a handler for [Subscribe] that enqueues a job for each step. All go out in
// one call; the event is done when RabbitMQ has confirmed them.
func Enqueue[T any](p job.Enqueuer, steps ...Step[T]) func(context.Context, T) error {
	return func(ctx context.Context, value T) error {
		jobs, err := makeJobs(ctx, value, steps)
		if err != nil {
			return err
		}
		return enqueue(ctx, p, jobs)
	}
}

// EnqueueGroup is [Enqueue] for jobs of which the last one that is done starts another: see
// job.Group.
func EnqueueGroup[T any](p job.Enqueuer, then Step[T], steps ...Step[T]) func(context.Context, T) error {
	return func(ctx context.Context, value T) error {
		jobs, err := makeJobs(ctx, value, steps)
		if err != nil {
			return err
		}
		e, _ := From(ctx) // makeJobs has had it
		return enqueue(ctx, p, job.Group(then(e, afterAll, value), jobs...))
	}
}

// enqueue doesn't have invalid jobs tried again: the same event would make the same ones.
func enqueue(ctx context.Context, p job.Enqueuer, jobs []job.Job) error {
	err := p.Enqueue(ctx, jobs...)
	if errors.Is(err, job.ErrInvalid) {
		return retry.Permanent(err)
	}
	return err
}

// afterAll is the place of the step that follows a group.
const afterAll = -1

func makeJobs[T any](ctx context.Context, value T, steps []Step[T]) ([]job.Job, error) {
	e, ok := From(ctx)
	if !ok {
		return nil, ErrNoEvent
	}
	jobs := make([]job.Job, len(steps))
	for i, step := range steps {
		jobs[i] = step(e, i, value)
	}
	return jobs, nil
}
