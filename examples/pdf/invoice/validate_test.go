package invoice

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// largestOrder returns an order at the limits of what Validate accepts, in the widest letters.
func largestOrder() Order {
	order := testOrder(0)
	order.ID = strings.Repeat("W", 64)
	order.VATBasisPoints = maxVAT
	order.Customer.Name = strings.Repeat("W", maxName)
	order.Customer.Address = strings.Repeat("Ж", maxAddress-10) + strings.Repeat("\nW", maxAddressLines-1)
	wide := strings.Repeat("W", maxDescription)
	order.Items = []Item{
		{Description: wide, Quantity: maxQuantity, UnitPrice: maxTotal/maxQuantity - maxUnitPrice/maxQuantity},
		{Description: wide, Quantity: 1, UnitPrice: maxUnitPrice},
	}
	return order
}

func TestValidate(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		change func(*Order)
		want   string // part of the error; empty: valid
	}{
		{"valid", func(o *Order) {}, ""},
		{"gift", func(o *Order) { o.Items[0].UnitPrice = 0 }, ""},
		{"no ID", func(o *Order) { o.ID = "" }, `id ""`},
		{"ID leaves the directory", func(o *Order) { o.ID = "../etc/passwd" }, "../etc/passwd"},
		{"hidden ID", func(o *Order) { o.ID = ".profile" }, "the first a letter"},
		{"long ID", func(o *Order) { o.ID = strings.Repeat("x", 65) }, "1 to 64"},
		{"no date", func(o *Order) { o.PlacedAt = time.Time{} }, "placed_at is missing"},
		{"no currency", func(o *Order) { o.Currency = "" }, "ISO 4217"},
		{"unknown currency", func(o *Order) { o.Currency = "ZZZ" }, `"ZZZ" is not an ISO 4217`},
		{"negative VAT", func(o *Order) { o.VATBasisPoints = -1 }, "vat_basis_points -1"},
		{"no name", func(o *Order) { o.Customer.Name = " " }, "customer name is empty"},
		{"long name", func(o *Order) { o.Customer.Name = strings.Repeat("é", 101) }, "101 characters; the limit is 100"},
		{"mail address", func(o *Order) { o.Customer.Email = "nobody at example" }, `"nobody at example" does not parse`},
		{"mail address with a name", func(o *Order) { o.Customer.Email = "Ada <ada@example.com>" }, "such as ada@example.com"},
		{"address of many lines", func(o *Order) { o.Customer.Address = strings.Repeat("x\n", 6) + "x" }, "has 7 lines"},
		{"no items", func(o *Order) { o.Items = nil }, "there are no items"},
		{"many items", func(o *Order) { o.Items = make([]Item, 1001) }, "1001 items; the limit is 1000"},
		{"negative quantity", func(o *Order) { o.Items[0].Quantity = -2 }, "item 1: quantity -2"},
		{"negative price", func(o *Order) { o.Items[0].UnitPrice = -2 }, "item 1: unit price -2"},
		{"huge total", func(o *Order) { o.Items[0] = Item{"x", maxQuantity, maxUnitPrice} }, "the total is 1000000000002598"},
		{"no description", func(o *Order) { o.Items[0].Description = "" }, "item 1: description is empty"},
		{"control character", func(o *Order) { o.Items[0].Description = "a\x00b" }, "U+0000, a control character"},
		{"not UTF-8", func(o *Order) { o.Items[0].Description = "a\xffb" }, "U+FFFD, which stands for bytes that are not UTF-8"},
		{"Japanese", func(o *Order) { o.Customer.Name = "山田太郎" }, "U+5C71, for which the font"},
		{"Hebrew", func(o *Order) { o.Customer.Name = "שלום" }, "from right to left"},
		{"Arabic", func(o *Order) { o.Customer.Name = "مرحبا" }, "from right to left"},
		{"emoji", func(o *Order) { o.Items[0].Description = "Mug 😀" }, "U+1F600, which is beyond"},
		{"lone accent", func(o *Order) { o.Items[0].Description = "q\u0301" }, "U+0301, an accent"},
		{"soft hyphen", func(o *Order) { o.Items[0].Description = "Tea\u00adpot" }, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			order := testOrder(2)
			test.change(&order)
			err := order.Validate()
			if test.want == "" {
				if err != nil {
					t.Errorf("got %v, want a valid order", err)
				}
				return
			}
			if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want ErrInvalid with %q", err, test.want)
			}
		})
	}
}

func TestInvalidErrorStaysShort(t *testing.T) {
	t.Parallel()
	order := testOrder(1000)
	order.ID = strings.Repeat("/", 100_000)
	for n := range order.Items {
		order.Items[n].Quantity = -1
	}
	err := order.Validate()
	if n := len(err.Error()); n > 1024 || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %d bytes, want one line of at most 1024", n)
	}
	if got, ok := errors.AsType[*InvalidError](err); !ok || len(got.Problems) != 1001 {
		t.Errorf("got %v, want an *InvalidError with all 1001 problems", err)
	}
}
