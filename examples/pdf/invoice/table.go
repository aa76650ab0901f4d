package invoice

import (
	"strconv"
)

// column is one of the table's columns.
type column struct {
	head  string
	x     float64
	width float64
	align string
}

// columns returns the table's columns from left to right. The gaps between them keep the widest values apart.
func columns() (position, description, quantity, price, amount column) {
	return column{"#", left, 9, "L"},
		column{"Description", left + 10, 76, "L"},
		column{"Quantity", left + 88, 20, "R"},
		column{"Unit price", left + 110, 26, "R"},
		column{"Amount", left + 138, 32, "R"}
}

const tableHeadHeight = 9.0

// tableHead draws the head of the table at the current height; every page has one.
func (s sheet) tableHead() {
	y := s.GetY()
	s.SetFillColor(238, 238, 238)
	s.Rect(left, y, right-left, 7, "F")
	s.style("B", 8, 40)
	position, description, quantity, price, amount := columns()
	for _, c := range []column{position, description, quantity, price, amount} {
		s.text(c.x+inset(c), y+1, c.width-inset(c)-1, c.align, c.head)
	}
	s.SetY(y + tableHeadHeight)
}

// inset keeps the leftmost text clear of the head's grey edge.
func inset(c column) float64 {
	if c.x == left {
		return 1.5
	}
	return 0
}

// row is an item, ready to be drawn: its description is broken into lines.
type row struct {
	position    int
	description []string
	quantity    string
	price       string
	amount      string
}

// height is the room that the row takes, with the gap below it.
func (r row) height() float64 {
	return float64(len(r.description))*lineHeight + 2
}

// rows lays out the order's items.
func (s sheet) rows(order Order) []row {
	s.style("", 9, 0)
	_, description, _, _, _ := columns()
	rows := make([]row, 0, len(order.Items))
	for n, item := range order.Items {
		rows = append(rows, row{
			position:    n + 1,
			description: s.SplitText(normalise(item.Description), description.width),
			quantity:    group(strconv.FormatInt(item.Quantity, 10)),
			price:       formatAmount(item.UnitPrice, order.Currency),
			amount:      formatAmount(item.Amount(), order.Currency),
		})
	}
	return rows
}

// paginate distributes rows over pages: first is the height the first page has for rows, next that of each further page. The last row
// keeps tail, the height of the totals, below it on its page: totals alone on a page look like a mistake. At least one page. The first
// page may be left without rows, when a long address leaves no room for the first one; a further page has one at least.
func paginate(rows []row, first, next, tail float64) [][]row {
	var pages [][]row
	var page []row
	free := first
	for n, row := range rows {
		need := row.height()
		if n == len(rows)-1 {
			need += tail
		}
		// Without a row, only the letterhead can be in the way; another new page would be no roomier than this one.
		if need > free && (len(page) > 0 || len(pages) == 0 && first < next) {
			pages = append(pages, page)
			page, free = nil, next
		}
		page = append(page, row)
		free -= row.height()
	}
	return append(pages, page)
}

// row draws one row at the current height and moves below it.
func (s sheet) row(r row) {
	y := s.GetY()
	position, description, quantity, price, amount := columns()
	s.style("", 9, 120)
	s.text(position.x+inset(position), y, position.width, position.align, strconv.Itoa(r.position))
	s.style("", 9, 0)
	for n, line := range r.description {
		s.text(description.x, y+float64(n)*lineHeight, description.width, description.align, line)
	}
	s.text(quantity.x, y, quantity.width-1, quantity.align, r.quantity)
	s.text(price.x, y, price.width-1, price.align, r.price)
	s.text(amount.x, y, amount.width-1, amount.align, r.amount)
	end := y + r.height()
	s.rule(end-1, 0.1, 210)
	s.SetY(end)
}
