package main

import (
	"context"
	"errors"
	"maps"
	"testing"
	"time"

	"github.com/errandq/errand/examples/rpc/prices"
	"github.com/errandq/errand/rpc"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestTally(t *testing.T) {
	t.Parallel()
	good, bad := sample(0), sample(49)
	right, err := prices.Of(good)
	_, refusal := prices.Of(bad)
	if err != nil || refusal == nil {
		t.Fatalf("got %v and %v, want basket 0 to have a price and basket 49 none", err, refusal)
	}
	right.Server = "a"
	dear, other := right, right
	dear.Total++
	other.Basket = "basket-1"
	for _, c := range []struct {
		name   string
		basket prices.Basket
		quote  prices.Quote
		err    error
		want   account
		right  bool
	}{
		{"right", good, right, nil, account{OK: 1}, true},
		{"wrong price", good, dear, nil, account{Wrong: 1}, false},
		{"another basket's", good, other, nil, account{Wrong: 1}, false},
		{"price of nothing", bad, right, nil, account{Wrong: 1}, false},
		{"refused", bad, prices.Quote{}, refusal, account{Refused: 1}, true},
		{"refused for no reason", good, prices.Quote{}, refusal, account{Failed: 1}, false},
		{"refused for another reason", bad, prices.Quote{}, rpc.Errorf(rpc.Internal, ""), account{Failed: 1}, false},
		{"timed out", good, prices.Quote{}, context.DeadlineExceeded, account{Failed: 1}, false},
		{"timed out, and no good anyway", bad, prices.Quote{}, context.DeadlineExceeded, account{Failed: 1}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			tally := newTally()
			calls, right := tally.add(c.basket, c.quote, c.err, time.Second)
			got := tally.soFar()
			got.Servers = nil
			if calls != 1 || right != c.right {
				t.Errorf("got %d calls, right %v, want 1 and %v", calls, right, c.right)
			}
			want := c.want
			want.Calls, want.P50, want.P99, want.Max = 1, time.Second, time.Second, time.Second
			if got.String() != want.String() {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
}

func TestQuantiles(t *testing.T) {
	t.Parallel()
	tally := newTally()
	if a := tally.soFar(); a.Max != 0 {
		t.Errorf("got %v without a call, want nothing", a)
	}
	for i := range 1000 {
		q := prices.Quote{Server: []string{"a", "b", "b", "b"}[i%4]}
		tally.add(sample(i), q, nil, time.Duration(1000-i))
	}
	tally.add(sample(0), prices.Quote{}, errors.New("boom"), 2000)
	a := tally.soFar()
	if a.P50 != 501 || a.P99 != 991 || a.Max != 2000 {
		t.Errorf("got %v, %v and %v, want 501, 991 and 2000", a.P50, a.P99, a.Max)
	}
	if want := map[string]int{"a": 250, "b": 750}; !maps.Equal(a.Servers, want) {
		t.Errorf("got %v, want %v", a.Servers, want)
	}
}
