package invoice

import (
	"time"
)

// Order is what a customer bought. It is a job's arguments, so it travels as JSON.
type Order struct {
	// ID names the order and its file: 1 to 64 ASCII letters, digits, '-', '_' and '.', of which the first is a letter or a digit.
	ID string `json:"id"`
	// PlacedAt is the invoice's date, printed as UTC. It also is the PDF's creation date: that keeps the bytes the same when a
	// retry renders the order again.
	PlacedAt time.Time `json:"placed_at"`
	// Currency is an ISO 4217 code, such as EUR.
	Currency string `json:"currency"`
	// VATBasisPoints is the tax rate in hundredths of a per cent: 1900 is 19 %. Zero means that no tax line is printed.
	VATBasisPoints int64    `json:"vat_basis_points,omitempty"`
	Customer       Customer `json:"customer"`
	// Items are printed in this order; 1 to 1000 of them.
	Items []Item `json:"items"`
}

// Customer is whom the invoice is addressed to.
type Customer struct {
	Name  string `json:"name"`
	Email string `json:"email"`
	// Address is the postal address without the name; lines are separated by "\n". At most 6 lines.
	Address string `json:"address"`
}

// Item is one line of an order.
type Item struct {
	Description string `json:"description"`
	// Quantity is 1 to 1,000,000.
	Quantity int64 `json:"quantity"`
	// UnitPrice is the net price of one, in the currency's smallest unit: cents for EUR, whole yen for JPY. Zero is a gift.
	UnitPrice int64 `json:"unit_price"`
}

// Amount is the item's net price, in the currency's smallest unit.
func (i Item) Amount() int64 {
	return i.Quantity * i.UnitPrice
}

// Number is the invoice's number, which follows from the order's ID alone.
func (o Order) Number() string {
	return "INV-" + o.ID
}

// totals are an order's sums, in the currency's smallest unit.
type totals struct {
	net, vat, gross int64
}

// totals adds up a valid order. Tax is computed once on the sum and rounded half up, so that net and tax add up to gross.
func (o Order) totals() totals {
	var t totals
	for _, item := range o.Items {
		t.net += item.Amount()
	}
	// The sum is bounded by maxTotal, so that this product is far from overflowing.
	t.vat = (t.net*o.VATBasisPoints + 5000) / 10000
	t.gross = t.net + t.vat
	return t
}
