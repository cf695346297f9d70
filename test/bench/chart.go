package main

import (
	"bytes"
	"fmt"
	"image/color"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// bar is one row of the chart: how many times slower, or larger, than native
// the sandboxes are, 0 if that is not known.
type bar struct {
	label       string
	ours, peers float64
}

// bars returns the rows that have a native value to stand beside.
func (t table) bars() (all []bar) {
	for _, r := range rows {
		cells := t[r.Name]
		slower := func(column string) float64 {
			if cells[native] == nil || cells[column] == nil {
				return 0
			}
			base, v := cells[native].value(), cells[column].value()
			if base <= 0 || v <= 0 {
				return 0
			}
			if r.Unit == perSecond {
				return base / v
			}
			return v / base
		}
		if b := (bar{r.What, slower(ours), slower(peer)}); b.ours > 0 {
			all = append(all, b)
		}
	}
	return all
}

// chart draws the bars as SVG: the logarithm of the ratio to native, so that
// twice as fast is as long as twice as slow, to the other side.
func (t table) chart() ([]byte, error) {
	bars := t.bars()
	if len(bars) == 0 {
		return nil, fmt.Errorf("nothing to draw")
	}
	mine, theirs := make(plotter.Values, len(bars)), make(plotter.Values, len(bars))
	labels := make([]string, len(bars))
	withPeer := false
	for i, b := range bars {
		at := len(bars) - 1 - i // the first row on top
		labels[at], mine[at] = b.label, math.Log2(b.ours)
		if b.peers > 0 {
			theirs[at], withPeer = math.Log2(b.peers), true
		}
	}
	plot.DefaultFont.Variant = "Sans"
	p := plot.New()
	p.Title.Text = "Time or memory relative to native Linux (1×); further left is better"
	p.Title.Padding = vg.Points(8)
	p.BackgroundColor = color.White
	const width = 4.5
	add := func(v plotter.Values, name string, c color.Color, offset float64) error {
		b, err := plotter.NewBarChart(v, vg.Points(width))
		if err != nil {
			return err
		}
		b.Horizontal, b.Color, b.LineStyle.Width, b.Offset = true, c, 0, vg.Points(offset)
		p.Add(b)
		p.Legend.Add(name, b)
		return nil
	}
	grid := plotter.NewGrid()
	grid.Horizontal.Width = 0
	grid.Vertical.Color = color.Gray{Y: 205}
	p.Add(grid)
	offset := 0.0
	if withPeer {
		offset = width / 2
		if err := add(theirs, "peer", color.RGBA{R: 180, G: 180, B: 188, A: 255}, -offset); err != nil {
			return nil, err
		}
	}
	if err := add(mine, "ringfort", color.RGBA{R: 31, G: 111, B: 139, A: 255}, offset); err != nil {
		return nil, err
	}
	p.NominalY(labels...)
	p.Legend.Top, p.Legend.XOffs, p.Legend.TextStyle.Font.Size = true, vg.Points(-6), vg.Points(9)
	p.Y.Max += 2.5 // room for the legend
	p.X.Max += 0.2
	p.Y.Tick.Label.Font.Size, p.X.Tick.Label.Font.Size = vg.Points(8), vg.Points(8)
	p.X.Tick.Marker = plot.TickerFunc(doublings)
	canvas := vgsvg.New(vg.Points(720), vg.Points(float64(len(bars))*13+70))
	p.Draw(draw.New(canvas))
	var out bytes.Buffer
	_, err := canvas.WriteTo(&out)
	return out.Bytes(), err
}

// doublings puts a tick at each power of two in a range of binary logarithms,
// or at each second one where they would stand too close.
func doublings(low, high float64) (ticks []plot.Tick) {
	step := 1.0
	if high-low > 10 {
		step = 2
	}
	for v := math.Ceil(low/step) * step; v <= high; v += step {
		ticks = append(ticks, plot.Tick{Value: v, Label: fmt.Sprintf("%g×", math.Exp2(v))})
	}
	return ticks
}
