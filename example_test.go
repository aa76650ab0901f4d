package errand_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/job"
	"github.com/errandq/errand/producer"
	"github.com/errandq/errand/retry"
	"github.com/errandq/errand/worker"
)

// Render is what the jobs of kind pdf.render carry.
type Render struct {
	OrderID string `json:"order_id"`
}

// RenderPDF is shared by the program that enqueues and the one that works.
var RenderPDF = job.Define[Render]("pdf.render", job.Queue("pdf"))

// render does the work. It knows of errand only how to say that no retry can help.
func render(ctx context.Context, args Render) error {
	if args.OrderID == "" {
		return retry.Permanent(errors.New("no order"))
	}
	slog.InfoContext(ctx, "rendering", "order", args.OrderID)
	return nil
}

// One program that does both: it enqueues a job for now and one for later, and works until
// it is interrupted.
func Example() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	conn, err := broker.Dial(ctx, os.Getenv("AMQP_URL"), broker.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}

	p := producer.New(conn, producer.Config{})
	err = p.Enqueue(ctx,
		RenderPDF.New(Render{OrderID: "42"}),
		RenderPDF.New(Render{OrderID: "43"}, job.Delay(time.Hour)))
	if err != nil {
		fmt.Println(err)
		return
	}

	w := worker.New(conn, worker.Config{Concurrency: 8})
	worker.Handle(w, RenderPDF, render,
		worker.Retry(retry.Exponential{Initial: time.Minute, Attempts: 8}),
		worker.Timeout(2*time.Minute))
	if err := errors.Join(w.Run(ctx), conn.Close()); err != nil {
		fmt.Println(err)
	}
}
