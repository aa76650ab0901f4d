package main

import (
	"fmt"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	vgdraw "gonum.org/v1/plot/vg/draw"

	"github.com/errandq/errand/bench/contest"
)

// A line is one number of one contender, as a curve grows.
type line struct {
	name      string
	contender string
	dashed    bool
	of        func(contest.Sample) float64
	times     func(contest.Work) float64 // what it is multiplied by, if anything
}

// linesOf says what a curve shows, and how its vertical axis is called.
func linesOf(c contest.Curve) (lines []line, axis string) {
	switch c.Rows[0].Work.Kind {
	case contest.Hold:
		held := func(s contest.Sample) float64 { return s.Held }
		return both(held, nil), "MiB for 1,000 jobs"
	case contest.Ladder, contest.Hops:
		p50 := func(s contest.Sample) float64 { return s.Times.P50 }
		p99 := func(s contest.Sample) float64 { return s.Times.P99 }
		return []line{{"p50", "errand", false, p50, nil}, {"p99", "errand", true, p99, nil}}, "ms later than due"
	}
	rate := func(s contest.Sample) float64 { return s.Rate }
	if c.Rows[0].Work.Size != c.Rows[len(c.Rows)-1].Work.Size {
		return both(rate, func(w contest.Work) float64 { return float64(w.Size) / (1 << 20) }), "MiB/s"
	}
	return both(rate, nil), "jobs/s"
}

func both(of func(contest.Sample) float64, times func(contest.Work) float64) []line {
	return []line{{contest.Base, contest.Base, false, of, times}, {"errand", "errand", false, of, times}}
}

// curvePanel draws a curve. What grows does so by factors.
func curvePanel(c contest.Curve) (*plot.Plot, error) {
	p := plot.New()
	p.Title.Text = c.Name
	p.X.Label.Text = c.X
	p.Y.Min = 0
	p.Legend.Left = true
	p.X.Scale = plot.LogScale{}
	p.X.Tick.Marker = ticksAt(c.At)
	lines, axis := linesOf(c)
	p.Y.Label.Text = axis
	p.Legend.Top = lines[0].name == "p50" || lines[0].times != nil // where lines rise
	for _, l := range lines {
		points := l.points(c)
		if len(points) == 0 {
			continue
		}
		drawn, marks, err := plotter.NewLinePoints(points)
		if err != nil {
			return nil, err
		}
		drawn.Color, marks.Color = colorOf(l.contender), colorOf(l.contender)
		drawn.Width = vg.Points(1.5)
		if l.dashed {
			drawn.Dashes = []vg.Length{vg.Points(4), vg.Points(3)}
		}
		marks.Shape = vgdraw.CircleGlyph{}
		p.Add(drawn, marks)
		p.Legend.Add(l.name, drawn, marks)
	}
	return p, nil
}

func (l line) points(c contest.Curve) plotter.XYs {
	var points plotter.XYs
	for i, row := range c.Rows {
		y := row.Median(l.contender, l.of)
		if l.times != nil {
			y *= l.times(row.Work)
		}
		if !math.IsNaN(y) {
			points = append(points, plotter.XY{X: float64(c.At[i]), Y: y})
		}
	}
	return points
}

// ticksAt has a tick for each point.
func ticksAt(at []int) plot.ConstantTicks {
	var ticks plot.ConstantTicks
	for _, n := range at {
		ticks = append(ticks, plot.Tick{Value: float64(n), Label: short(n)})
	}
	return ticks
}

// short writes multiples of a thousand, or of 1024, with a letter.
func short(n int) string {
	switch {
	case n >= 1<<20 && n%(1<<20) == 0:
		return fmt.Sprintf("%dMi", n>>20)
	case n >= 1<<10 && n%(1<<10) == 0:
		return fmt.Sprintf("%dKi", n>>10)
	case n >= 1_000_000 && n%1_000_000 == 0:
		return fmt.Sprintf("%dM", n/1_000_000)
	case n >= 1_000 && n%1_000 == 0:
		return fmt.Sprintf("%dk", n/1_000)
	default:
		return fmt.Sprint(n)
	}
}
