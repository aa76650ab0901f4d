package prices_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/errandq/errand/examples/rpc/prices"
	"github.com/errandq/errand/rpc"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func basket(day int, lines ...prices.Line) prices.Basket {
	return prices.Basket{ID: "b", Day: day, Lines: lines}
}

// Reckoned by hand from the prices of day 0.
func TestOf(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		basket          prices.Basket
		net, vat, total prices.Cents
	}{
		{basket(0, prices.Line{"teapot", 1}), 4950, 941, 5891},
		{basket(0, prices.Line{"cup", 9}), 8010, 1522, 9532},
		{basket(0, prices.Line{"cup", 10}), 8455, 1606, 10061},     // 5 % off
		{basket(0, prices.Line{"spoon", 100}), 29250, 5558, 34808}, // 10 % off
		{basket(0, prices.Line{"teapot", 1}, prices.Line{"kettle", 2}), 20750, 3943, 24693},
	} {
		want := prices.Quote{Basket: "b", Net: c.net, VAT: c.vat, Total: c.total}
		if got, err := prices.Of(c.basket); err != nil || got != want {
			t.Errorf("%+v: got %+v, %v, want %+v", c.basket, got, err, want)
		}
	}
}

func TestOfNonsense(t *testing.T) {
	t.Parallel()
	cup := prices.Line{"cup", 1}
	for _, c := range []struct {
		basket prices.Basket
		want   rpc.Code
	}{
		{basket(0), rpc.InvalidRequest},
		{basket(0, slices.Repeat([]prices.Line{cup}, 101)...), rpc.InvalidRequest},
		{basket(-1, cup), rpc.InvalidRequest},
		{basket(10_000, cup), rpc.InvalidRequest},
		{basket(0, prices.Line{"cup", 0}), rpc.InvalidRequest},
		{basket(0, prices.Line{"cup", 1 << 40}), rpc.InvalidRequest},
		{basket(0, cup, prices.Line{"unicorn", 1}), rpc.NotFound},
	} {
		_, err := prices.Of(c.basket)
		if got, ok := errors.AsType[*rpc.Error](err); !ok || got.Code != c.want {
			t.Errorf("%.100s: got %v, want %s", fmt.Sprint(c.basket), err, c.want)
		}
	}
}

// A span is part of the same course that baskets are priced by, wherever it begins.
func TestEach(t *testing.T) {
	t.Parallel()
	for _, s := range []prices.Span{{"cup", 0, 400}, {"cup", 123, 1}, {"kettle", 9_999, 1}} {
		next := s.From
		err := prices.Each(s, func(d prices.Day) error {
			q, err := prices.Of(basket(d.Day, prices.Line{s.Article, 1}))
			if err != nil || d.Day != next || d.Price != q.Net {
				t.Errorf("%+v: got %+v, want day %d with price %d (%v)", s, d, next, q.Net, err)
			}
			next++
			return nil
		})
		if err != nil || next != s.From+s.Days {
			t.Errorf("%+v: got %v after %d days, want all", s, err, next-s.From)
		}
	}
	enough := errors.New("enough")
	if err := prices.Each(prices.Span{"cup", 0, 2}, func(prices.Day) error { return enough }); err != enough {
		t.Errorf("got %v, want %v", err, enough)
	}
	for _, s := range []prices.Span{{"cup", -1, 1}, {"cup", 0, 0}, {"cup", 9_999, 2}, {"unicorn", 0, 1}} {
		if err := prices.Each(s, func(prices.Day) error { return nil }); err == nil {
			t.Errorf("%+v: got no error", s)
		}
	}
}
