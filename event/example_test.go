package event_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/event"
	"github.com/errandq/errand/producer"
	"github.com/errandq/errand/worker"
)

// Placed is what publishers and subscribers share.
var Placed = event.Define[order]("order.placed", event.Exchange("shop", event.Pattern))

func Example() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := broker.Dial(ctx, "amqp://localhost", broker.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	w := worker.New(conn, worker.Config{})
	event.Subscribe(w, Placed, event.Durable("mail", event.On("#")), func(ctx context.Context, o order) error {
		fmt.Println("thank you for order", o.ID)
		return nil
	})
	event.Subscribe(w, Placed, event.Temporary(event.On("eu.*")), func(ctx context.Context, o order) error {
		e, _ := event.From(ctx)
		fmt.Println("just now, in", e.Key)
		return nil
	})
	// Only what is declared by now keeps the event: the durable subscription.
	if err := w.Declare(ctx); err != nil {
		fmt.Println(err)
	}
	p := producer.New(conn, producer.Config{})
	if err := Placed.Publish(ctx, p, order{ID: "42"}, event.Key("eu.de"), event.Mandatory()); err != nil {
		fmt.Println(err)
	}
	if err := errors.Join(w.Run(ctx), conn.Close()); err != nil {
		fmt.Println(err)
	}
}
