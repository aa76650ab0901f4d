package main

import (
	"fmt"
	"image/color"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	vgdraw "gonum.org/v1/plot/vg/draw"
)

// bars are horizontal, each in a color of its own and with its value behind it, and there is
// a line at 1. Those longer than longestBar are cut, so that the others can be told apart.
// The library's bar chart has one color.
type bars struct {
	values []float64 // NaN: no bar
	colors []color.Color
}

const longestBar = 4

const barWidth = 3.6 * vg.Millimeter

// Plot implements [plot.Plotter].
func (b *bars) Plot(c vgdraw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	one := vgdraw.LineStyle{Color: color.Gray{Y: 0x60}, Width: vg.Points(0.7), Dashes: []vg.Length{vg.Points(2), vg.Points(2)}}
	c.StrokeLine2(one, x(1), c.Min.Y, x(1), c.Max.Y)
	label := text.Style{
		Color: color.Black, Font: p.X.Tick.Label.Font, Handler: p.X.Tick.Label.Handler,
		XAlign: vgdraw.XLeft, YAlign: vgdraw.YCenter,
	}
	for i, value := range b.values {
		middle := y(float64(i))
		shown := "-"
		if !math.IsNaN(value) {
			shown = fmt.Sprintf("%.2f", value)
			if value > longestBar {
				value, shown = longestBar, fmt.Sprintf("→ %.3g", value)
			}
			low, high := middle-barWidth/2, middle+barWidth/2
			c.FillPolygon(b.colors[i], []vg.Point{{X: x(0), Y: low}, {X: x(value), Y: low}, {X: x(value), Y: high}, {X: x(0), Y: high}})
		} else {
			value = 0
		}
		c.FillText(label, vg.Point{X: x(value) + vg.Millimeter, Y: middle}, shown)
	}
}

// DataRange implements [plot.DataRanger]. It leaves room for the labels.
func (b *bars) DataRange() (xmin, xmax, ymin, ymax float64) {
	xmax = 1
	for _, value := range b.values {
		if value > xmax { // never for NaN
			xmax = value
		}
	}
	return 0, min(xmax, longestBar) * 1.22, -0.6, float64(len(b.values)) - 0.4
}
