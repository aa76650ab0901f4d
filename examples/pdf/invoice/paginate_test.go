package invoice

import (
	"fmt"
	"testing"
)

func TestPaginate(t *testing.T) {
	t.Parallel()
	// A one-line row is 7 high.
	rows := func(n int) (rs []row) {
		for i := range n {
			rs = append(rs, row{position: i + 1, description: []string{"x"}})
		}
		return rs
	}
	for _, test := range []struct {
		name              string
		rows              int
		first, next, tail float64
		want              string
	}{
		{"no rows", 0, 70, 70, 10, "[0]"},
		{"one page", 5, 70, 70, 10, "[5]"},
		{"exactly full with totals", 10, 80, 80, 10, "[10]"},
		{"totals take the last row along", 10, 79, 79, 10, "[9 1]"},
		{"longer pages after the first", 30, 35, 140, 10, "[5 20 5]"},
		{"no room below a long address", 2, 5, 140, 10, "[0 2]"},
		{"a row higher than any page", 2, 5, 5, 10, "[1 1]"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var got []int
			for _, page := range paginate(rows(test.rows), test.first, test.next, test.tail) {
				got = append(got, len(page))
			}
			if fmt.Sprint(got) != test.want {
				t.Errorf("got %v rows a page, want %v", got, test.want)
			}
		})
	}
}

// No valid order may run over the foot of a page: the widest and longest values that Validate lets through.
func TestLayoutHoldsTheLargestOrder(t *testing.T) {
	t.Parallel()
	order := largestOrder()
	if err := order.Validate(); err != nil {
		t.Fatal(err)
	}
	s := newSheet(order)
	free := s.continuedSpace()
	for _, row := range s.rows(order) {
		if need := row.height() + totalsHeight(order); need > free {
			t.Errorf("item %d with the totals is %.0f mm high, a page has %.0f", row.position, need, free)
		}
	}
	if s.space([]string{"Seller"}, order) < -tableHeadHeight {
		t.Error("the address runs over the foot of the first page")
	}
	_, _, quantity, price, amount := columns()
	for _, row := range s.rows(order) {
		s.style("", 9, 0)
		for _, cell := range []struct {
			text  string
			width float64
		}{{row.quantity, quantity.width}, {row.price, price.width}, {row.amount, amount.width}} {
			if got := s.GetStringWidth(cell.text); got > cell.width {
				t.Errorf("%q is %.1f mm wide, its column %.1f", cell.text, got, cell.width)
			}
		}
	}
}
