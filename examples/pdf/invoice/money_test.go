package invoice

import "testing"

func TestFormatAmount(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		amount int64
		code   string
		want   string
	}{
		{0, "EUR", "0.00"},
		{5, "EUR", "0.05"},
		{123456, "EUR", "1,234.56"},
		{100_000_000_000, "USD", "1,000,000,000.00"},
		{123456, "JPY", "123,456"},
		{999, "JPY", "999"},
		{1234567, "KWD", "1,234.567"},
		{-123456, "EUR", "-1,234.56"},
	} {
		if got := formatAmount(test.amount, test.code); got != test.want {
			t.Errorf("formatAmount(%d, %s): got %q, want %q", test.amount, test.code, got, test.want)
		}
	}
}

func TestTotalsRoundTaxOnce(t *testing.T) {
	t.Parallel()
	order := testOrder(0)
	order.VATBasisPoints = 770
	order.Items = []Item{{"x", 3, 33}, {"y", 1, 1}}
	if got, want := order.totals(), (totals{net: 100, vat: 8, gross: 108}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestFormatRate(t *testing.T) {
	t.Parallel()
	for points, want := range map[int64]string{1900: "19 %", 770: "7.7 %", 825: "8.25 %"} {
		if got := formatRate(points); got != want {
			t.Errorf("formatRate(%d): got %q, want %q", points, got, want)
		}
	}
}
