package invoice

import (
	"errors"
	"fmt"
	"net/mail"
	"regexp"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/currency"
)

// ErrInvalid means that an order cannot be made into an invoice, however often one tries. Errors that match it are *InvalidError.
var ErrInvalid = errors.New("invoice: invalid order")

// InvalidError says which order is invalid and why; errors.Is(err, ErrInvalid) holds for it.
type InvalidError struct {
	OrderID  string
	Problems []string // at least one, in the order of Order's fields
}

// Error names the order and its first few problems, on one line.
func (e *InvalidError) Error() string {
	const most = 5 // the text ends up in a message header and in logs, which are no place for a thousand complaints
	problems := e.Problems
	more := ""
	if len(problems) > most {
		more = fmt.Sprintf("; and %d more", len(problems)-most)
		problems = problems[:most]
	}
	return fmt.Sprintf("invoice: order %q cannot be made into an invoice: %s%s", cut(e.OrderID), strings.Join(problems, "; "), more)
}

// Unwrap makes the error match ErrInvalid.
func (e *InvalidError) Unwrap() error {
	return ErrInvalid
}

// The limits keep an invoice printable and a hostile order from making a gigabyte of PDF. Within them no sum overflows an int64.
const (
	maxItems        = 1000
	maxQuantity     = 1_000_000
	maxUnitPrice    = 1_000_000_000   // 10 million euros
	maxTotal        = 100_000_000_000 // a billion euros; what the amount column holds
	maxVAT          = 10_000          // 100 %
	maxName         = 100             // characters, as the next ones
	maxAddress      = 300
	maxAddressLines = 6
	maxDescription  = 500
)

// The ID becomes a file's name. The first character excludes "..", hidden files, and names that look like flags.
var idForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// checkID returns why id cannot name an order, or nil.
func checkID(id string) error {
	if !idForm.MatchString(id) {
		return fmt.Errorf("id %q: want 1 to 64 letters, digits, '-', '_' or '.', the first a letter or a digit", cut(id))
	}
	return nil
}

// Validate returns nil, or an *InvalidError that lists everything wrong with the order. A valid order can be rendered and stored.
func (o Order) Validate() error {
	var problems []string
	bad := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	check := func(err error) {
		if err != nil {
			bad("%s", err)
		}
	}

	check(checkID(o.ID))
	if o.PlacedAt.IsZero() {
		bad("placed_at is missing; it is the invoice's date")
	}
	if _, err := currency.ParseISO(o.Currency); err != nil {
		bad("currency %q is not an ISO 4217 code such as EUR", cut(o.Currency))
	}
	if o.VATBasisPoints < 0 || o.VATBasisPoints > maxVAT {
		bad("vat_basis_points %d: want 0 to %d", o.VATBasisPoints, maxVAT)
	}
	check(checkText("customer name", o.Customer.Name, maxName))
	check(checkEmail(o.Customer.Email))
	lines := strings.Split(o.Customer.Address, "\n")
	check(checkText("customer address", strings.Join(lines, " "), maxAddress))
	if len(lines) > maxAddressLines {
		bad("customer address has %d lines; an invoice has room for %d", len(lines), maxAddressLines)
	}
	for _, problem := range checkItems(o.Items) {
		bad("%s", problem)
	}
	if len(problems) > 0 {
		return &InvalidError{OrderID: o.ID, Problems: problems}
	}
	return nil
}

// checkEmail returns why address is not one plain mail address, or nil. "Ada <ada@example.com>" is refused: the name has its own field.
func checkEmail(address string) error {
	parsed, err := mail.ParseAddress(address)
	if err != nil {
		return fmt.Errorf("customer email %q does not parse: %s", cut(address), strings.TrimPrefix(err.Error(), "mail: "))
	}
	if parsed.Address != address {
		return fmt.Errorf("customer email %q: want the address alone, such as %s", cut(address), parsed.Address)
	}
	return nil
}

// checkItems returns what is wrong with the items; nil when nothing is.
func checkItems(items []Item) (problems []string) {
	bad := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	if len(items) == 0 {
		bad("there are no items")
	}
	if len(items) > maxItems {
		bad("there are %d items; the limit is %d", len(items), maxItems)
		return problems
	}
	for n, item := range items {
		if err := checkText("description", item.Description, maxDescription); err != nil {
			bad("item %d: %s", n+1, err)
		}
		if item.Quantity < 1 || item.Quantity > maxQuantity {
			bad("item %d: quantity %d: want 1 to %d", n+1, item.Quantity, maxQuantity)
		}
		if item.UnitPrice < 0 || item.UnitPrice > maxUnitPrice {
			bad("item %d: unit price %d: want 0 to %d of the currency's smallest unit", n+1, item.UnitPrice, maxUnitPrice)
		}
	}
	// Only factors known to be small are multiplied: a sum that has overflowed could look like a price.
	if len(problems) == 0 {
		if net := (Order{Items: items}).totals().net; net > maxTotal {
			bad("the total is %d of the currency's smallest unit; the limit is %d", net, maxTotal)
		}
	}
	return problems
}

// checkText returns why s cannot be printed as the named field, or nil.
func checkText(field, s string, most int) error {
	clean := normalise(s)
	if strings.TrimSpace(clean) == "" {
		return fmt.Errorf("%s is empty", field)
	}
	if n := utf8.RuneCountInString(clean); n > most {
		return fmt.Errorf("%s has %d characters; the limit is %d", field, n, most)
	}
	if r, why := unprintable(clean); why != "" {
		return fmt.Errorf("%s contains %U, %s", field, r, why)
	}
	return nil
}

// cut shortens a rejected value for an error's text.
func cut(s string) string {
	const most = 80
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most]) + "…"
}
