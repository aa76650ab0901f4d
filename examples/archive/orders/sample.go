package orders

import (
	"fmt"
	"time"
)

// Sample is an order as somebody may place it. All but the time follows from the number.
func Sample(number int64, at time.Time) Order {
	customers := [...]string{"Ada Lovelace", "Grace O'Hopper", "Zoë Ångström", "王小明", "\"Bobby\" Tables'); --"}
	items := [...]string{"teapot", "cup & saucer", "kettle", "½ lb of tea 🫖"}
	return Order{
		Number:   number,
		Customer: fmt.Sprintf("%s %d", customers[number%int64(len(customers))], number),
		Item:     items[number%int64(len(items))],
		Cents:    100 + number*37%10_000,
		PlacedAt: at.UTC().Truncate(time.Microsecond), // as exact as the databases are
	}
}
