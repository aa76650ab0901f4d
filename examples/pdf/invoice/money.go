package invoice

import (
	"strconv"
	"strings"

	"golang.org/x/text/currency"
)

// formatAmount writes an amount of a currency's smallest unit with the decimals that the currency has: 123456 is "1,234.56" in EUR and
// "123,456" in JPY. An unknown currency counts as one with two decimals.
func formatAmount(amount int64, code string) string {
	scale := 2
	if unit, err := currency.ParseISO(code); err == nil {
		scale, _ = currency.Standard.Rounding(unit)
	}
	sign := ""
	if amount < 0 {
		sign, amount = "-", -amount
	}
	digits := strconv.FormatInt(amount, 10)
	if missing := scale + 1 - len(digits); missing > 0 {
		digits = strings.Repeat("0", missing) + digits
	}
	whole, cents := digits[:len(digits)-scale], digits[len(digits)-scale:]
	if scale > 0 {
		cents = "." + cents
	}
	return sign + group(whole) + cents
}

// group puts a comma between thousands.
func group(digits string) string {
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// formatRate writes basis points as a percentage without needless zeros: 1900 is "19 %", 770 is "7.7 %".
func formatRate(basisPoints int64) string {
	return strconv.FormatFloat(float64(basisPoints)/100, 'f', -1, 64) + " %"
}
