// Package prices is what the server and the caller of the example have to agree on: two methods, their types, and what the answers are.
package prices

import (
	"time"

	"github.com/errandq/errand/rpc"
)

// Price asks what a basket costs. Asking twice costs nothing, so a call whose server dies is run again by another one.
var Price = rpc.Define[Basket, Quote]("prices.price", rpc.Queue("prices"), rpc.Timeout(20*time.Second), rpc.Idempotent())

// History asks what an article has cost, day by day: one request, many replies.
var History = rpc.DefineStream[Span, Day]("prices.history", rpc.Queue("prices"), rpc.Timeout(time.Minute))

// Cents are money.
type Cents int64

// A Basket is what somebody would like to buy.
type Basket struct {
	ID    string `json:"id"`
	Day   int    `json:"day"` // prices change daily
	Lines []Line `json:"lines"`
}

// A Line is one article of a basket.
type Line struct {
	Article  string `json:"article"`
	Quantity int    `json:"quantity"`
}

// A Quote is what a basket costs.
type Quote struct {
	Basket string `json:"basket"`
	Net    Cents  `json:"net"`
	VAT    Cents  `json:"vat"`
	Total  Cents  `json:"total"`
	Server string `json:"server"` // who says so
}

// A Span is some days of an article.
type Span struct {
	Article string `json:"article"`
	From    int    `json:"from"`
	Days    int    `json:"days"`
}

// A Day is one of them.
type Day struct {
	Day   int   `json:"day"`
	Price Cents `json:"price"`
}
