// Package rpc calls functions that other processes run, over RabbitMQ.
//
// Both sides share a [Method], which names the function and its types. A [Server] runs it,
// and a [Client] waits for what it returns. To scale, start more servers: they share the
// requests of a queue. Use rpc when the caller needs the answer now; when it only needs to
// know that the work will be done, enqueue a job.
//
// A call has a deadline: that of its context, or the method's [Timeout]. It travels with the
// request. When it has passed, or the caller stops waiting, the request is not run any more,
// and a handler that runs it has its context cancelled. A call is lost only with an error:
// [ErrNoServer] at once if the method has no queue, [ErrInterrupted] if the connection or
// the server died on the way. Methods that are [Idempotent] are called again instead.
package rpc
