package main

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/errandq/errand/examples/rpc/prices"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestClerkSignsItsQuotes(t *testing.T) {
	t.Parallel()
	b := prices.Basket{ID: "b", Lines: []prices.Line{{Article: "cup", Quantity: 1}}}
	got, err := clerk{name: "ada"}.price(t.Context(), b)
	if err != nil || got.Server != "ada" || got.Basket != "b" || got.Net != 890 {
		t.Errorf("got %+v, %v, want 890 for basket b from ada", got, err)
	}
}

// A caller that gives up ends the work, however long it would take.
func TestClerkStopsWhenTheCallerDoes(t *testing.T) {
	t.Parallel()
	ctx, giveUp := context.WithCancel(t.Context())
	sent := 0
	err := clerk{pause: 10 * time.Millisecond}.history(ctx, prices.Span{Article: "cup", Days: 100}, func(prices.Day) error {
		if sent++; sent == 3 {
			giveUp()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) || sent == 100 {
		t.Errorf("got %v after %d days, want %v before the last", err, sent, context.Canceled)
	}
	if _, err := (clerk{pause: time.Hour}).price(ctx, prices.Basket{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}
