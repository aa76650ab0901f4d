package invoice

import (
	"bytes"
	"fmt"
	"strings"

	"codeberg.org/go-pdf/fpdf"
)

// Renderer makes PDF invoices in the name of one seller. It is safe for concurrent use.
type Renderer struct {
	seller []string
}

// NewRenderer returns a renderer for the seller whose name is the first line of seller and whose address the other ones.
// It returns an error when a line cannot be printed.
func NewRenderer(seller string) (*Renderer, error) {
	lines := strings.Split(normalise(seller), "\n")
	if err := checkText("seller", strings.Join(lines, " "), maxName+maxAddress); err != nil {
		return nil, fmt.Errorf("invoice: new renderer: %w", err)
	}
	if len(lines) > 1+maxAddressLines {
		return nil, fmt.Errorf("invoice: new renderer: seller has %d lines; an invoice has room for %d", len(lines), 1+maxAddressLines)
	}
	return &Renderer{seller: lines}, nil
}

// Render returns the order's invoice as a PDF. The same order gives the same bytes, on whatever day and machine, from the same build.
// It returns an *InvalidError (ErrInvalid) for an order that Validate refuses.
func (r *Renderer) Render(order Order) ([]byte, error) {
	if err := order.Validate(); err != nil {
		return nil, err
	}
	s := newSheet(order)
	rows := s.rows(order)
	// The pages are planned before anything is drawn: only then does each page's foot know how many there are.
	pages := paginate(rows, s.space(r.seller, order), s.continuedSpace(), totalsHeight(order))
	for n, page := range pages {
		s.AddPage()
		if n == 0 {
			s.letterhead(r.seller, order)
		} else {
			s.continued(order)
		}
		if len(page) > 0 {
			s.tableHead()
		}
		for _, row := range page {
			s.row(row)
		}
		if n == len(pages)-1 {
			s.totals(order)
		}
		s.foot(r.seller[0], order, n+1, len(pages))
	}
	var out bytes.Buffer
	if err := s.Output(&out); err != nil {
		return nil, fmt.Errorf("invoice: render order %s: %w", order.ID, err)
	}
	return out.Bytes(), nil
}

// sheet is a PDF under construction, with the text style and the measures of an invoice. Lengths are millimetres on A4.
type sheet struct {
	*fpdf.Fpdf
}

const (
	left, right, top = 20.0, 190.0, 18.0
	bottom           = 272.0 // where the table has to end; the foot is below
	lineHeight       = 5.0
	family           = "DejaVu"
)

func newSheet(order Order) sheet {
	pdf := fpdf.New("P", "mm", "A4", "")
	pdf.AddUTF8FontFromBytes(family, "", regularFont)
	pdf.AddUTF8FontFromBytes(family, "B", boldFont)
	pdf.SetMargins(left, top, left)
	pdf.SetAutoPageBreak(false, 0) // the plan breaks pages, see paginate
	pdf.SetCellMargin(0)
	// Time and map order are the two things that would make the bytes differ between two runs.
	pdf.SetCreationDate(order.PlacedAt.UTC())
	pdf.SetModificationDate(order.PlacedAt.UTC())
	pdf.SetCatalogSort(true)
	pdf.SetTitle("Invoice "+order.Number(), true)
	pdf.SetLang("en")
	pdf.SetFont(family, "", 9)
	return sheet{pdf}
}

// style selects regular ("") or bold ("B") text of a size in points, in a shade of grey from 0 (black).
func (s sheet) style(weight string, size float64, grey int) {
	s.SetFont(family, weight, size)
	s.SetTextColor(grey, grey, grey)
}

// text puts one line of text into a box whose top left corner is x, y. Align is "L" or "R".
func (s sheet) text(x, y, width float64, align, text string) {
	s.SetXY(x, y)
	s.CellFormat(width, lineHeight, text, "", 0, align+"M", false, 0, "")
}

// rule draws a horizontal line over the page's width.
func (s sheet) rule(y, thickness float64, grey int) {
	s.SetDrawColor(grey, grey, grey)
	s.SetLineWidth(thickness)
	s.Line(left, y, right, y)
}
