package prices

import (
	"math/rand/v2"

	"github.com/errandq/errand/rpc"
)

// The limits of what is answered.
const (
	maxLines    = 100
	maxQuantity = 1000
	maxDays     = 10_000
)

// first is what an article cost on day 0.
func first(article string) (Cents, bool) {
	switch article {
	case "teapot":
		return 4950, true
	case "cup":
		return 890, true
	case "kettle":
		return 7900, true
	case "spoon":
		return 325, true
	}
	return 0, false
}

// A course is the price of an article, day after day. It goes up or down by at most two per cent a day, and is the same in every process.
type course struct {
	price Cents
	rnd   *rand.Rand
}

// newCourse begins on day 0.
func newCourse(article string) (*course, error) {
	price, ok := first(article)
	if !ok {
		return nil, rpc.Errorf(rpc.NotFound, "there is no article %q", article)
	}
	return &course{price, rand.New(rand.NewPCG(uint64(price), 0))}, nil
}

// next returns the price of the day, and goes on to the next day.
func (c *course) next() Cents {
	today := c.price
	c.price = max(1, (today*Cents(980+c.rnd.IntN(41))+500)/1000)
	return today
}

// check finds what can't be a day.
func check(day int) error {
	if day < 0 || day >= maxDays {
		return rpc.Errorf(rpc.InvalidRequest, "day %d: want 0 to %d", day, maxDays-1)
	}
	return nil
}

// on is the article's price on a day.
func on(article string, day int) (Cents, error) {
	c, err := newCourse(article)
	if err != nil {
		return 0, err
	}
	for range day {
		c.next()
	}
	return c.next(), nil
}

// Of returns what a basket costs.
func Of(b Basket) (Quote, error) {
	if err := check(b.Day); err != nil {
		return Quote{}, err
	}
	if len(b.Lines) == 0 || len(b.Lines) > maxLines {
		return Quote{}, rpc.Errorf(rpc.InvalidRequest, "%d lines: want 1 to %d", len(b.Lines), maxLines)
	}
	q := Quote{Basket: b.ID}
	for _, l := range b.Lines {
		if l.Quantity < 1 || l.Quantity > maxQuantity {
			return Quote{}, rpc.Errorf(rpc.InvalidRequest, "%d of %q: want 1 to %d", l.Quantity, l.Article, maxQuantity)
		}
		price, err := on(l.Article, b.Day)
		if err != nil {
			return Quote{}, err
		}
		q.Net += (price*Cents(l.Quantity)*(100-rebate(l.Quantity)) + 50) / 100
	}
	q.VAT = (q.Net*19 + 50) / 100
	q.Total = q.Net + q.VAT
	return q, nil
}

// rebate is what buying many of an article takes off, in per cent.
func rebate(quantity int) Cents {
	switch {
	case quantity >= 100:
		return 10
	case quantity >= 10:
		return 5
	}
	return 0
}

// Each calls fn with the days of a span, in turn, until fn returns an error.
func Each(s Span, fn func(Day) error) error {
	if err := check(s.From); err != nil {
		return err
	}
	if s.Days < 1 || s.Days > maxDays-s.From {
		return rpc.Errorf(rpc.InvalidRequest, "%d days from day %d: want 1 to %d", s.Days, s.From, maxDays-s.From)
	}
	c, err := newCourse(s.Article)
	if err != nil {
		return err
	}
	for range s.From {
		c.next()
	}
	for day := range s.Days {
		if err := fn(Day{s.From + day, c.next()}); err != nil {
			return err
		}
	}
	return nil
}
