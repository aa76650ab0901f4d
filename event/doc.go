// Package event tells what has happened to everybody who asked, beside package job, which has
// one worker do what must be done.
//
// A [Topic] is published to an exchange; who takes its events is the subscribers' business.
// [Subscribe] gives a worker the events of a [Subscription]. A [Durable] one has a queue of
// its own, which keeps events while its workers are away and has all that a job queue has:
// retries, which come back to this subscription only, and dead letters. A [Temporary] one
// lasts as long as its connection, and gets what happens meanwhile.
//
// Events are sent by producer.Producer and worked by worker.Worker, so confirms, batches,
// reconnects, timeouts, middleware and shutdown are theirs. The ID of an event is the same
// for all its subscribers and in all its retries; foreign publishers have to give it one.
package event
