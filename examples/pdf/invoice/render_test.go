package invoice

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"unicode/utf16"

	"github.com/ledongthuc/pdf"
)

// pageTexts returns the text of each page of a PDF, one drawn string a line, as another library than the one that wrote it parses it.
// The strings' character codes are UTF-16, as the fonts' identity ToUnicode map says; that map alone is beyond the parsing library.
func pageTexts(t *testing.T, data []byte) []string {
	t.Helper()
	reader, err := pdf.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatalf("parse the PDF: %v", err)
	}
	var texts []string
	for n := 1; n <= reader.NumPage(); n++ {
		var text strings.Builder
		pdf.Interpret(reader.Page(n).V.Key("Contents"), func(stack *pdf.Stack, operator string) {
			var last pdf.Value
			for stack.Len() > 0 {
				last = stack.Pop()
			}
			if operator == "Tj" {
				fmt.Fprintln(&text, utf16Text(last.RawString()))
			}
		})
		texts = append(texts, text.String())
	}
	return texts
}

func utf16Text(s string) string {
	var units []uint16
	for ; len(s) >= 2; s = s[2:] {
		units = append(units, binary.BigEndian.Uint16([]byte(s)))
	}
	return string(utf16.Decode(units))
}

func TestRenderPages(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ items, pages int }{{1, 1}, {15, 1}, {60, 3}, {1000, 31}} {
		t.Run(fmt.Sprint(test.items, " items"), func(t *testing.T) {
			t.Parallel()
			data, err := testRenderer(t).Render(testOrder(test.items))
			if err != nil {
				t.Fatal(err)
			}
			texts := pageTexts(t, data)
			if len(texts) != test.pages {
				t.Fatalf("got %d pages, want %d", len(texts), test.pages)
			}
			for n, text := range texts {
				for _, want := range []string{"Description", "Unit price", fmt.Sprintf("Page %d of %d", n+1, test.pages)} {
					if !strings.Contains(text, want) {
						t.Errorf("page %d lacks %q", n+1, want)
					}
				}
				if got, want := strings.Contains(text, "Total EUR"), n == test.pages-1; got != want {
					t.Errorf("page %d: total there: got %v, want %v", n+1, got, want)
				}
			}
			if got := strings.Count(strings.Join(texts, ""), "Teapot, cast iron"); got != test.items {
				t.Errorf("got %d item lines, want %d", got, test.items)
			}
		})
	}
}

func TestRenderKeepsScriptsAndSums(t *testing.T) {
	t.Parallel()
	order := testOrder(0)
	order.Customer.Name = "Αθηνά Παπαδοπούλου"
	order.Customer.Address = "улица Пушкина 7\r\nŁódź"
	order.Items = []Item{
		{Description: "Чайник фарфоровый", Quantity: 3, UnitPrice: 123456},
		{Description: "Cafe\u0301 „Grüße“ €", Quantity: 1, UnitPrice: 1}, // an e and a combining accent
	}
	data, err := testRenderer(t).Render(order)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Join(pageTexts(t, data), "")
	for _, want := range []string{
		"Αθηνά Παπαδοπούλου", "улица Пушкина 7", "Łódź", "Чайник фарфоровый", "Café „Grüße“ €",
		"INV-A-1042", "14 March 2026", "3,703.68", "3,703.69", "VAT 19 %", "703.70", "4,407.39",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the invoice lacks %q; it reads: %q", want, text)
		}
	}
}

func TestRenderSameOrderSameBytes(t *testing.T) {
	t.Parallel()
	renderer, order := testRenderer(t), testOrder(70)
	want, err := renderer.Render(order)
	if err != nil {
		t.Fatal(err)
	}
	// Side by side, because that is how a worker renders, and the renderer and the fonts are shared.
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if got, err := renderer.Render(order); err != nil || !bytes.Equal(got, want) {
				t.Errorf("rendering again: err %v, same bytes %v", err, bytes.Equal(got, want))
			}
		})
	}
	wg.Wait()
}

func TestRenderRefusesInvalidOrder(t *testing.T) {
	t.Parallel()
	if _, err := testRenderer(t).Render(testOrder(0)); !errors.Is(err, ErrInvalid) {
		t.Errorf("order without items: got %v, want ErrInvalid", err)
	}
}

func TestNewRendererRefusesUnprintableSeller(t *testing.T) {
	t.Parallel()
	for _, seller := range []string{"", "東京急行", strings.Repeat("a\n", 8)} {
		if _, err := NewRenderer(seller); err == nil {
			t.Errorf("NewRenderer(%q): got no error", seller)
		}
	}
}
