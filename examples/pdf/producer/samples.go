package main

import (
	"fmt"
	"time"

	"github.com/errandq/errand/examples/pdf/invoice"
	"github.com/google/uuid"
)

// sampleOrders returns n orders, of which the last unfixable ones cannot be made into an invoice. Their IDs are new each time; what is in
// them depends on the position alone.
func sampleOrders(n, unfixable int, now time.Time) []invoice.Order {
	customers := []invoice.Customer{
		{Name: "Ada Lovelace", Email: "ada@example.com", Address: "12 St James's Square\nLondon SW1Y 4JH\nUnited Kingdom"},
		{Name: "Αθηνά Παπαδοπούλου", Email: "athina@example.com", Address: "Ερμού 25\n105 63 Αθήνα\nΕλλάδα"},
		{Name: "Zofia Wiśniewska", Email: "zofia@example.com", Address: "ul. Piotrkowska 104\n90-926 Łódź\nPolska"},
		{Name: "Олена Коваленко", Email: "olena@example.com", Address: "вул. Хрещатик 22\n01001 Київ\nУкраїна"},
		{Name: "Jürgen Groß", Email: "juergen@example.com", Address: "Königsallee 7\n40212 Düsseldorf\nDeutschland"},
	}
	wares := []invoice.Item{
		{Description: "Teapot, cast iron, 1.2 l", UnitPrice: 4950},
		{Description: "Tea bowl, hand-thrown, celadon glaze", UnitPrice: 2800},
		{Description: "Bamboo whisk", UnitPrice: 1475},
		{Description: "Darjeeling first flush, 100 g, from the upper garden; loose leaf in an airtight tin", UnitPrice: 1890},
		{Description: "Kettle with thermometer", UnitPrice: 7900},
		{Description: "Gift wrapping", UnitPrice: 0},
	}
	run := uuid.NewString()[:8]
	orders := make([]invoice.Order, max(n, 0))
	for i := range orders {
		order := invoice.Order{
			ID:             fmt.Sprintf("%s-%05d", run, i+1),
			PlacedAt:       now.UTC().Truncate(time.Second),
			Currency:       "EUR",
			VATBasisPoints: 1900,
			Customer:       customers[i%len(customers)],
		}
		// 1, 10 or 37 items, so that some invoices have a second page.
		for k := range 1 + i*i%8*9 {
			item := wares[(i+k)%len(wares)]
			item.Quantity = int64(1 + (i+k)%4)
			order.Items = append(order.Items, item)
		}
		if i >= n-unfixable {
			breakOrder(&order, i)
		}
		orders[i] = order
	}
	return orders
}

// breakOrder makes an order that no retry can cure, in one of several ways.
func breakOrder(order *invoice.Order, n int) {
	switch n % 3 {
	case 0:
		order.Customer.Email = "nobody at example"
	case 1:
		order.Items[0].Quantity = -3
	default:
		order.Items = nil
	}
}
