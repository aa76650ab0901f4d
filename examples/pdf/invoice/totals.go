package invoice

// totalLine is one line of the sums below the table.
type totalLine struct {
	label  string
	amount int64
}

// totalLines returns the sums in the order of printing; the last one is what the customer pays.
func totalLines(order Order) []totalLine {
	t := order.totals()
	if order.VATBasisPoints == 0 {
		return []totalLine{{"Total " + order.Currency, t.gross}}
	}
	return []totalLine{
		{"Net", t.net},
		{"VAT " + formatRate(order.VATBasisPoints), t.vat},
		{"Total " + order.Currency, t.gross},
	}
}

const (
	totalsGap = 3.0 // above the first line
	totalStep = 6.0 // from line to line
	thanksGap = 14.0
)

// totalsHeight is the room that totals draws in.
func totalsHeight(order Order) float64 {
	return totalsGap + float64(len(totalLines(order)))*totalStep + thanksGap + lineHeight
}

// totals draws the sums and the closing words at the current height.
func (s sheet) totals(order Order) {
	_, _, _, _, amount := columns()
	y := s.GetY() + totalsGap
	lines := totalLines(order)
	for n, line := range lines {
		s.style("", 9, 90)
		if n == len(lines)-1 {
			s.SetDrawColor(40, 40, 40)
			s.SetLineWidth(0.4)
			s.Line(amount.x-40, y-0.2, right, y-0.2)
			s.style("B", 10, 0)
		}
		s.text(amount.x-40, y+0.5, 25, "L", line.label)
		s.text(amount.x-14, y+0.5, amount.width+13, "R", formatAmount(line.amount, order.Currency))
		y += totalStep
	}
	s.style("", 9, 90)
	s.text(left, y+thanksGap-lineHeight, right-left, "L", "Thank you for your order!")
}
