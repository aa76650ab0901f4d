// Package errand runs background jobs on RabbitMQ.
//
// A program enqueues a typed job, such as "make this PDF", and goes on. Worker processes, as
// many as one likes, take the jobs, run them, retry the ones that fail, and put aside the
// ones that can't succeed. This package exports nothing; a program uses
//
//	job       what a job is: a kind with typed arguments, and its options
//	producer  sends jobs
//	worker    runs jobs
//	broker    the connection that both share, which outlives every outage
//	retry     when to try again, and which errors are worth it
//
// and, where the defaults don't fit,
//
//	codec     arguments that are no JSON
//	topology  queues that somebody else has made; names and declarations as values
//
// Beside jobs there are
//
//	event     tells what has happened to everybody who asked
//	group     a job that runs when others are done
//	rpc       calls that wait for their answer
//
// and for tests jobtest, a RabbitMQ in memory, and devserver, a private real one.
//
// # The two sides
//
// Both sides share the kind:
//
//	type Render struct {
//		OrderID string `json:"order_id"`
//	}
//
//	var RenderPDF = job.Define[Render]("pdf.render", job.Queue("pdf"))
//
// One enqueues:
//
//	p := producer.New(conn, producer.Config{})
//	err := p.Enqueue(ctx, RenderPDF.New(Render{OrderID: "42"}, job.Delay(time.Hour)))
//
// The other works, with a handler that is a plain function:
//
//	w := worker.New(conn, worker.Config{Concurrency: 8})
//	worker.Handle(w, RenderPDF, renderer.Render, worker.Timeout(2*time.Minute))
//	err := w.Run(ctx)
//
// Either may start first: both declare what they need.
//
// # What it promises
//
// When Enqueue has returned nil, RabbitMQ holds the job on disk, and it will be worked or
// stand where a person finds it: in the queue's dead-letter queue, pdf.dead for pdf, or in
// errand.parked. A job is acked after its handler has returned, and a retry is a confirmed
// copy before it is an ack. So a crash in between may run a job twice, and never loses one:
// handlers tell a job that they have seen before by its ID.
//
// # What it is not
//
// It is no workflow engine, keeps no results, and needs no plugin of RabbitMQ, and no
// database but for group. It runs on RabbitMQ 3.10 and later.
package errand
