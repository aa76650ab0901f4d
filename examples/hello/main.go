// Command hello is the smallest complete program: it enqueues one job and works it.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/signal"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/job"
	"github.com/errandq/errand/producer"
	"github.com/errandq/errand/worker"
)

type Greeting struct {
	Name string `json:"name"`
}

var Greet = job.Define[Greeting]("greet")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	conn, err := broker.Dial(ctx, os.Getenv("AMQP_URL"), broker.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()

	// Usually in one program …
	p := producer.New(conn, producer.Config{})
	if err := p.Enqueue(ctx, Greet.New(Greeting{Name: "world"})); err != nil {
		log.Fatal(err)
	}

	// … and in another, of which one starts as many as the work needs.
	w := worker.New(conn, worker.Config{})
	worker.Handle(w, Greet, func(ctx context.Context, g Greeting) error {
		fmt.Println("hello,", g.Name)
		stop() // one is enough here
		return nil
	})
	if err := w.Run(ctx); err != nil {
		log.Fatal(err)
	}
}
