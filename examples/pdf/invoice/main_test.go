package invoice

import (
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testOrder returns a valid order with n items.
func testOrder(n int) Order {
	order := Order{
		ID:             "A-1042",
		PlacedAt:       time.Date(2026, 3, 14, 15, 9, 26, 0, time.UTC),
		Currency:       "EUR",
		VATBasisPoints: 1900,
		Customer:       Customer{Name: "Ada Lovelace", Email: "ada@example.com", Address: "12 St James's Square\nLondon"},
	}
	for i := range n {
		order.Items = append(order.Items, Item{Description: "Teapot, cast iron", Quantity: int64(i%3 + 1), UnitPrice: 1299})
	}
	return order
}

func testRenderer(t *testing.T) *Renderer {
	t.Helper()
	renderer, err := NewRenderer("Teapots & Sons\n3 Harbour Lane\nBristol")
	if err != nil {
		t.Fatal(err)
	}
	return renderer
}
