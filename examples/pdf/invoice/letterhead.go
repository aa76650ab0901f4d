package invoice

import (
	"fmt"
	"strings"
)

const (
	addressWidth = 85.0
	factsLeft    = 122.0 // where the block of number and date begins
	factsWidth   = right - factsLeft
)

// space returns the height that the first page has for rows.
func (s sheet) space(seller []string, order Order) float64 {
	return bottom - s.tableTop(seller, order) - tableHeadHeight
}

// continuedSpace returns the height that a further page has for rows.
func (s sheet) continuedSpace() float64 {
	return bottom - continuedTop - tableHeadHeight
}

// tableTop returns where the first page's table begins: below the longer of the two address blocks.
func (s sheet) tableTop(seller []string, order Order) float64 {
	return s.addressTop(seller) + float64(1+len(s.addressLines(order)))*lineHeight + 14
}

// addressTop returns where the customer's address begins: below the seller's.
func (s sheet) addressTop(seller []string) float64 {
	return max(top+12+float64(len(seller)-1)*lineHeight+10, 52)
}

// addressLines returns the customer's address as printed, long lines broken.
func (s sheet) addressLines(order Order) []string {
	s.style("", 10, 0)
	var lines []string
	for _, line := range append([]string{order.Customer.Name}, strings.Split(order.Customer.Address, "\n")...) {
		lines = append(lines, s.SplitText(normalise(line), addressWidth)...)
	}
	return lines
}

// letterhead draws the top of the first page: who sends what to whom.
func (s sheet) letterhead(seller []string, order Order) {
	s.style("B", 15, 0)
	s.text(left, top, addressWidth, "L", s.fit(seller[0], addressWidth))
	s.style("", 9, 90)
	for n, line := range seller[1:] {
		s.text(left, top+8+float64(n)*lineHeight, addressWidth, "L", s.fit(line, addressWidth))
	}
	s.style("B", 22, 40)
	s.text(factsLeft, top, factsWidth, "R", "INVOICE")

	y := s.addressTop(seller)
	s.style("", 8, 120)
	s.text(left, y, addressWidth, "L", "BILL TO")
	lines := s.addressLines(order)
	s.style("", 10, 0)
	for n, line := range lines {
		s.text(left, y+float64(n+1)*lineHeight, addressWidth, "L", line)
	}

	facts := [][2]string{
		{"Invoice", order.Number()},
		{"Date", order.PlacedAt.UTC().Format("2 January 2006")},
		{"Currency", order.Currency},
	}
	for n, fact := range facts {
		fy := y + float64(n+1)*lineHeight
		s.style("", 9, 120)
		s.text(factsLeft, fy, 20, "L", fact[0])
		s.style("", 9, 0)
		s.text(factsLeft+20, fy, factsWidth-20, "R", s.fit(fact[1], factsWidth-20))
	}
	s.SetY(s.tableTop(seller, order))
}

// fit shortens text to a width in the middle, so that both ends of a long number stay legible.
func (s sheet) fit(text string, width float64) string {
	if s.GetStringWidth(text) <= width {
		return text
	}
	runes := []rune(text)
	for keep := len(runes) - 1; keep > 0; keep-- {
		short := string(runes[:(keep+1)/2]) + "…" + string(runes[len(runes)-keep/2:])
		if s.GetStringWidth(short) <= width {
			return short
		}
	}
	return "…"
}

const continuedTop = top + 10

// continued draws the top of a further page.
func (s sheet) continued(order Order) {
	s.style("", 9, 90)
	s.text(left, top, right-left, "L", "Invoice "+s.fit(order.Number(), 120)+", continued")
	s.SetY(continuedTop)
}

// foot draws the bottom of a page.
func (s sheet) foot(seller string, order Order, page, pages int) {
	const y = 280
	s.rule(y-2, 0.2, 200)
	s.style("", 8, 120)
	s.text(left, y, 75, "L", s.fit(seller, 75))
	s.text(left+75, y, 65, "L", s.fit(order.Number(), 65))
	s.text(right-30, y, 30, "R", fmt.Sprintf("Page %d of %d", page, pages))
}
