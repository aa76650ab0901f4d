// Package orders holds what the shop and those who hear of its orders have to agree on: the topic, its value, and the names of the
// subscriptions that must miss no order.
package orders

import (
	"context"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/event"
	"github.com/errandq/errand/topology"
)

// Placed is told of every order. Its exchange is a fanout: whoever subscribes gets all of them.
var Placed = event.Define[Order]("order.placed")

// An Order is the value of Placed.
type Order struct {
	Number   int64     `json:"number"` // counts from 1
	Customer string    `json:"customer"`
	Item     string    `json:"item"`
	Cents    int64     `json:"cents"`
	PlacedAt time.Time `json:"placed_at"`
}

// The subscriptions.
const (
	Archive = "archive" // a row in a database for each order
	Mailer  = "mailer"  // thanks the customer
)

// Declare makes the subscriptions, so that events are kept for them from now on, whether they have ever run or not. They declare the
// same when they run.
func Declare(ctx context.Context, d broker.Declarer) error {
	all, err := Placed.Topology(topology.DefaultNamespace, event.Durable(Archive), event.Durable(Mailer))
	if err != nil {
		return err
	}
	return d.Declare(ctx, all)
}
