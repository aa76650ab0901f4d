// Package invoice turns an order into a PDF invoice and keeps it on disk.
//
//	renderer, err := invoice.NewRenderer("Teapots & Sons\n3 Harbour Lane\nBristol")
//	store, err := invoice.OpenStore("invoices")
//	pdf, err := renderer.Render(order) // ErrInvalid: no retry can cure this order
//	path, err := store.Put(order.ID, pdf)
//
// The same order always gives the same bytes, and Put replaces a file whole or not at all. So a job that renders and stores may run
// twice, or die half way, and nobody can tell afterwards.
//
// Text is set in DejaVu Sans, which is embedded: Latin, Cyrillic, Greek, Armenian, Georgian, and many symbols. What the font or the
// PDF writer cannot show is refused, not printed as empty boxes: Chinese, Japanese and Korean, Thai and the scripts of India
// (not in the font), Arabic and Hebrew (written from right to left), accents that have no composed form, emoji beyond U+FFFF.
package invoice
