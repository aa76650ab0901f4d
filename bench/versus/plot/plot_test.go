package main

import (
	"image/png"
	"os"
	"testing"
	"time"

	"github.com/errandq/errand/bench/contest"
)

// results are of all works and curves, made up.
func results() *contest.Results {
	r := &contest.Results{Began: time.Unix(0, 0)}
	fill := func(row contest.Row) contest.Row {
		for i, name := range []string{contest.Base, "careful", "errand", "other"} {
			n := float64(i + 1)
			row.Entries = append(row.Entries, contest.Entry{Contender: name, Samples: []contest.Sample{
				{Jobs: 1, Rate: 1000 * n * n, CPU: 10 / n, Held: n, Times: &contest.Times{P50: n, P99: 2 * n}},
			}})
		}
		row.Entries = append(row.Entries, contest.Entry{Contender: "failed"})
		return row
	}
	for _, w := range contest.Works() {
		r.Rows = append(r.Rows, fill(contest.Row{Work: w}))
	}
	r.Curves = contest.Curves()
	for _, c := range r.Curves {
		for i, row := range c.Rows {
			c.Rows[i] = fill(row)
		}
	}
	return r
}

func TestPlots(t *testing.T) {
	dir := t.TempDir()
	r := results()
	if err := r.Write(dir); err != nil {
		t.Fatal(err)
	}
	if err := drawPath(dir); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"rate", "cpu", "calls", "latency", "curves"} {
		base := dir + "/" + r.Name() + "-" + name
		f, err := os.Open(base + ".png")
		if err != nil {
			t.Error(err)
			continue
		}
		if config, err := png.DecodeConfig(f); err != nil || config.Width < 500 || config.Height < 200 {
			t.Errorf("%s: got %v, %v, want a picture", name, config, err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		if info, err := os.Stat(base + ".svg"); err != nil || info.Size() == 0 {
			t.Errorf("%s: no SVG: %v", name, err)
		}
	}
	// What has plots is left alone.
	png := dir + "/" + r.Name() + "-rate.png"
	if err := os.WriteFile(png, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := drawPath(dir); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(png); err != nil || info.Size() > 0 {
		t.Errorf("got %v, %v, want it not to be drawn again", info, err)
	}
}

func TestShortNumbers(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]string{1: "1", 64: "64", 1000: "1k", 1024: "1Ki", 1 << 20: "1Mi", 1_000_000: "1M", 1500: "1500"} {
		if got := short(n); got != want {
			t.Errorf("got %s for %d, want %s", got, n, want)
		}
	}
}
