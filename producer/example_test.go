package producer_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/job"
	"github.com/errandq/errand/producer"
)

// Welcome is the kind of the mails that new users get; its worker is another program.
var Welcome = job.Define[string]("mail.welcome", job.Queue("mail"))

func Example() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := broker.Dial(ctx, "amqp://localhost", broker.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	p := producer.New(conn, producer.Config{AppID: "signup"})
	err = p.Enqueue(ctx,
		Welcome.New("gopher@example.com"),
		Welcome.New("gopher@example.com", job.Delay(24*time.Hour)))
	switch {
	case errors.Is(err, broker.ErrUnconfirmed):
		fmt.Println("RabbitMQ may have it: enqueue again, with the same ID:", err)
	case err != nil:
		fmt.Println("not enqueued:", err)
	}
	if err := conn.Close(); err != nil {
		fmt.Println(err)
	}
}
