package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/errandq/errand/examples/pdf/smtpsink"
)

// The faults of the story.
const (
	unfixable  = 1               // orders that can't be fulfilled
	mailOutage = 3 * time.Second // how long the mail server refuses
)

// pdfDemo is the first half of the story: orders become PDFs and mails.
type pdfDemo struct {
	programs programs
	amqp     string
	dir      string
	orders   int

	placed    int
	made      int
	mails     int
	customers int // that got at least one mail
	refused   int // times that the mail server said: later
	retried   int64
	dead      []deadLetter
}

func (d *pdfDemo) pdfs() string { return filepath.Join(d.dir, "invoices") }

func (d *pdfDemo) run(ctx context.Context) error {
	sink, err := smtpsink.Start(smtpsink.Config{
		Dir:    filepath.Join(d.dir, "mail"),
		Faults: smtpsink.Faults{For: mailOutage},
		Logger: quiet,
	})
	if err != nil {
		return err
	}
	defer sink.Close()
	first, err := d.worker(ctx, "worker-1", sink.Addr())
	if err != nil {
		return err
	}
	second, err := d.worker(ctx, "worker-2", sink.Addr())
	if err != nil {
		return err
	}
	if err := d.place(ctx); err != nil {
		return err
	}
	say("pdf: %d orders placed, %d of them beyond repair; the mail server refuses for %v", d.placed, unfixable, mailOutage)

	good := d.placed - unfixable
	if err := until(ctx, "a third of the PDFs is there", second, func() (bool, error) {
		n, err := d.count()
		return n >= good/3, err
	}); err != nil {
		return err
	}
	if err := first.kill(); err != nil {
		return err
	}
	say("pdf: killed worker 1 with SIGKILL")
	if err := until(ctx, "every PDF is there and mailed", second, func() (bool, error) {
		n, err := d.count()
		return n >= good && customers(sink.Mails()) >= good, err
	}); err != nil {
		return err
	}
	if d.dead, err = deadLetters(ctx, d.amqp, unfixable, "pdf", "mail"); err != nil {
		return err
	}
	if err := second.terminate(); err != nil {
		return err
	}
	d.mails, d.customers, d.refused = len(sink.Mails()), customers(sink.Mails()), sink.Refused()
	if d.made, err = d.count(); err != nil {
		return err
	}
	var account struct{ Retried int64 }
	if err := readJSON(filepath.Join(d.dir, "worker-2.json"), &account); err != nil {
		return err
	}
	d.retried = account.Retried
	return nil
}

func (d *pdfDemo) worker(ctx context.Context, name, smtp string) (*process, error) {
	return d.programs.start(ctx, "pdf/worker", filepath.Join(d.dir, name+".log"),
		"-amqp", d.amqp, "-dir", d.pdfs(), "-smtp", smtp, "-pause", "20ms",
		"-summary", filepath.Join(d.dir, name+".json"))
}

// place runs the producer to its end.
func (d *pdfDemo) place(ctx context.Context) error {
	file := filepath.Join(d.dir, "producer.json")
	p, err := d.programs.start(ctx, "pdf/producer", filepath.Join(d.dir, "producer.log"),
		"-amqp", d.amqp, "-n", strconv.Itoa(d.orders), "-unfixable", strconv.Itoa(unfixable), "-summary", file)
	if err != nil {
		return err
	}
	if err := p.wait(); err != nil {
		return err
	}
	var account struct{ Placed int }
	if err := readJSON(file, &account); err != nil {
		return err
	}
	d.placed = account.Placed
	return nil
}

// count is the number of PDFs on disk.
func (d *pdfDemo) count() (int, error) {
	found, err := filepath.Glob(filepath.Join(d.pdfs(), "*.pdf"))
	return len(found), err
}

func (d *pdfDemo) report(r *report) {
	good := d.orders - unfixable
	r.title("pdf: orders become PDFs, and mails")
	r.check("orders placed", d.placed, d.orders)
	r.check("PDFs on disk", d.made, good)
	r.check("customers who got their mail", d.customers, good)
	r.note("mails sent twice, by the worker that was killed", d.mails-d.customers)
	r.note("times the mail server said: later", d.refused)
	r.atLeast("jobs retried, by the worker that survived", int(d.retried), 1)
	r.deadLetters("orders put aside", d.dead, unfixable)
	r.check("orders lost", d.placed-d.made-len(d.dead), 0)
}

// customers counts the different receivers' orders: a mail that was sent twice has the same
// ID twice.
func customers(mails []smtpsink.Mail) int {
	ids := map[string]bool{}
	for _, m := range mails {
		ids[m.MessageID] = true
	}
	return len(ids)
}

func readJSON(file string, into any) error {
	body, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return nil
}
