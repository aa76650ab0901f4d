// Package worker runs jobs.
//
//	w := worker.New(conn, worker.Config{Concurrency: 8})
//	worker.Handle(w, RenderPDF, func(ctx context.Context, args Render) error {
//		return render(ctx, args.OrderID)
//	}, worker.Timeout(2*time.Minute))
//	err := w.Run(ctx)
//
// A handler is a plain function. What it returns decides what becomes of the job:
//
//	nil                    done
//	an error               tried again as the retry policy says, then put aside
//	retry.Permanent(err)   put aside at once
//	retry.After(d, err)    tried again, not before d
//	Snooze(d)              again after d, not counted as an attempt
//
// Jobs put aside stand in the queue's dead-letter queue, pdf.dead for pdf, with the error.
//
// A job is acked only after its handler returned, so a worker that dies loses nothing: its
// jobs go to others. The price is that a handler may run more than once for one job. It
// should do no harm the second time; the job's ID, by [JobFrom], is what to tell it by.
//
// [Worker.Run] runs until its context ends, finishes what is running, and returns.
package worker
