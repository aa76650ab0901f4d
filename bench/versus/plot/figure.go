package main

import (
	"errors"
	"image/color"
	"io"
	"math"
	"os"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/vg"
	vgdraw "gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"

	"github.com/errandq/errand/bench/contest"
)

// A figure shows one number of all contenders, relative to the loop by hand, with a panel for
// each work.
type figure struct {
	name  string // of its files
	axis  string
	kinds []contest.Kind
	of    func(contest.Sample) float64
}

var (
	jobs  = []contest.Kind{contest.Enqueue, contest.Batch, contest.Consume, contest.Through, contest.Waiting}
	calls = []contest.Kind{contest.Calls, contest.Direct}
)

func figures() []figure {
	rate := func(s contest.Sample) float64 { return s.Rate }
	cpu := func(s contest.Sample) float64 { return s.CPU }
	p50 := func(s contest.Sample) float64 {
		if s.Times == nil {
			return math.NaN()
		}
		return s.Times.P50
	}
	return []figure{
		{"rate", "jobs/s, by hand = 1", jobs, rate},
		{"cpu", "client CPU per job, by hand = 1", append(slices.Clone(jobs), contest.Paced), cpu},
		{"calls", "calls/s, by hand = 1", calls, rate},
		{"latency", "median time, by hand = 1", append(slices.Clone(calls), contest.Paced), p50},
	}
}

// draw writes the figures as PNG and SVG, to files whose names begin with base. Those of
// which nothing was measured are left out.
func draw(r *contest.Results, base string) error {
	plot.DefaultFont = font.Font{Typeface: "Liberation", Variant: "Sans"}
	err := drawCurves(r, base)
	for _, f := range figures() {
		rows := slices.DeleteFunc(slices.Clone(r.Rows), func(row contest.Row) bool {
			return !slices.Contains(f.kinds, row.Work.Kind)
		})
		if len(rows) == 0 {
			continue
		}
		var panels []*plot.Plot
		for _, row := range rows {
			panels = append(panels, f.panel(row))
		}
		height := margins + barPitch*vg.Length(longest(rows))
		err = errors.Join(err, save(grid(panels), height, base+"-"+f.name))
	}
	return err
}

func drawCurves(r *contest.Results, base string) error {
	if len(r.Curves) == 0 {
		return nil
	}
	var panels []*plot.Plot
	for _, c := range r.Curves {
		p, err := curvePanel(c)
		if err != nil {
			return err
		}
		panels = append(panels, p)
	}
	return save(grid(panels), curveHeight, base+"-curves")
}

// longest is the largest number of bars.
func longest(rows []contest.Row) int {
	n := 0
	for _, row := range rows {
		n = max(n, len(row.Entries))
	}
	return n
}

// panel has a bar for each contender, the first on top.
func (f figure) panel(row contest.Row) *plot.Plot {
	p := plot.New()
	p.Title.Text = row.Work.Name
	p.X.Label.Text = f.axis
	p.X.Min = 0
	b := &bars{}
	var names []string
	for _, e := range slices.Backward(row.Entries) {
		names = append(names, e.Contender)
		b.values = append(b.values, row.Ratio(e.Contender, f.of))
		b.colors = append(b.colors, colorOf(e.Contender))
	}
	p.Add(b)
	p.NominalY(names...)
	p.Y.Tick.LineStyle.Width = 0
	return p
}

func colorOf(contender string) color.Color {
	switch contender {
	case "errand":
		return color.RGBA{R: 0xd9, G: 0x5f, B: 0x02, A: 0xff}
	case contest.Base, "careful":
		return color.RGBA{R: 0x4d, G: 0x7e, B: 0xa8, A: 0xff}
	default:
		return color.RGBA{R: 0xa6, G: 0xa6, B: 0xa6, A: 0xff}
	}
}

const columns = 3

// Sizes of a panel.
const (
	panelWidth  = 9.5 * vg.Centimeter
	curveHeight = 6.5 * vg.Centimeter
	barPitch    = 4.6 * vg.Millimeter
	margins     = 2.4 * vg.Centimeter // title and axis of a panel
)

// grid lays panels out in rows. Missing ones are nil.
func grid(panels []*plot.Plot) [][]*plot.Plot {
	var rows [][]*plot.Plot
	width := min(columns, len(panels))
	for row := range slices.Chunk(panels, width) {
		rows = append(rows, append(slices.Clone(row), make([]*plot.Plot, width-len(row))...))
	}
	return rows
}

// save draws the panels twice.
func save(panels [][]*plot.Plot, height vg.Length, base string) error {
	w, h := vg.Length(len(panels[0]))*panelWidth, vg.Length(len(panels))*height
	png := vgimg.PngCanvas{Canvas: vgimg.NewWith(vgimg.UseWH(w, h), vgimg.UseDPI(120))}
	svg := vgsvg.New(w, h)
	return errors.Join(
		saveAs(panels, vgdraw.New(png), png, base+".png"),
		saveAs(panels, vgdraw.New(svg), svg, base+".svg"))
}

func saveAs(panels [][]*plot.Plot, canvas vgdraw.Canvas, content io.WriterTo, file string) error {
	tiles := vgdraw.Tiles{
		Rows: len(panels), Cols: len(panels[0]),
		PadX: 4 * vg.Millimeter, PadY: 4 * vg.Millimeter,
		PadTop: 3 * vg.Millimeter, PadBottom: 3 * vg.Millimeter, PadLeft: 3 * vg.Millimeter, PadRight: 6 * vg.Millimeter,
	}
	for i, row := range plot.Align(panels, tiles, canvas) {
		for j, tile := range row {
			if panels[i][j] != nil {
				panels[i][j].Draw(tile)
			}
		}
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	_, err = content.WriteTo(f)
	return errors.Join(err, f.Close())
}
