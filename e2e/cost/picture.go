package main

import (
	"fmt"
	"math"
	"strings"
)

// The picture's size in pixels, and the frame around what is drawn.
const (
	width, height            = 900, 520
	left, right, top, bottom = 70, 150, 50, 50
)

// scale is a logarithmic axis over whole powers of ten.
type scale struct {
	low, high  float64 // powers
	from, upTo float64 // pixels
}

// scaleOver makes the axis that all the values fit on.
func scaleOver(values []float64, from, upTo float64) scale {
	s := scale{low: math.Inf(1), high: math.Inf(-1), from: from, upTo: upTo}
	for _, v := range values {
		if v > 0 {
			s.low, s.high = min(s.low, math.Floor(math.Log10(v))), max(s.high, math.Ceil(math.Log10(v)))
		}
	}
	if s.low >= s.high { // one value that is a power itself, or none
		s.low, s.high = 0, 1
	}
	return s
}

func (s scale) at(v float64) float64 {
	return s.from + (math.Log10(v)-s.low)/(s.high-s.low)*(s.upTo-s.from)
}

// draw makes an SVG of how long claims take (p99 as a line, p50 dashed) at which
// rate, both axes logarithmic.
func draw(curves []curve) string {
	var rates, times []float64
	for _, c := range curves {
		for _, p := range c.points {
			rates, times = append(rates, p.rate), append(times, p.p50/1000, p.p99/1000)
		}
	}
	x, y := scaleOver(rates, left, width-right), scaleOver(times, height-bottom, top)
	var svg strings.Builder
	fmt.Fprintf(&svg, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="13">
<title>How long a claim takes at which rate</title>
<rect width="%d" height="%d" fill="#fff"/>
<text x="%d" y="24" font-size="16">How long a claim takes at which rate: p99, and p50 dashed</text>
`, width, height, width, height, left)
	axes(&svg, x, y)
	colours := []string{"#777", "#c0392b", "#d68910", "#1a5fb4", "#26a269"}
	for i, c := range curves {
		line(&svg, c, x, y, colours[i%len(colours)])
	}
	svg.WriteString("</svg>\n")
	return svg.String()
}

func axes(svg *strings.Builder, x, y scale) {
	for power := x.low; power <= x.high; power++ {
		at := x.at(math.Pow(10, power))
		fmt.Fprintf(svg, `<path d="M%.1f %d V%d" stroke="#ddd"/><text x="%.1f" y="%d" text-anchor="middle">%s</text>`+"\n",
			at, top, height-bottom, at, height-bottom+20, figure(math.Pow(10, power), 0))
	}
	for power := y.low; power <= y.high; power++ {
		at, digits := y.at(math.Pow(10, power)), int(max(0, -power))
		fmt.Fprintf(svg, `<path d="M%d %.1f H%d" stroke="#ddd"/><text x="%d" y="%.1f" text-anchor="end">%s</text>`+"\n",
			left, at, width-right, left-8, at+4, figure(math.Pow(10, power), digits))
	}
	fmt.Fprintf(svg, `<text x="%d" y="%d" text-anchor="middle">claims a second</text>`+"\n", (left+width-right)/2, height-10)
	fmt.Fprintf(svg, `<text transform="translate(16 %d) rotate(-90)" text-anchor="middle">milliseconds</text>`+"\n", (top+height-bottom)/2)
}

func line(svg *strings.Builder, c curve, x, y scale, colour string) {
	trace := func(of func(point) float64, style string) {
		fmt.Fprintf(svg, `<polyline fill="none" stroke="%s" stroke-width="2" %s points="`, colour, style)
		for _, p := range c.points {
			fmt.Fprintf(svg, "%.1f,%.1f ", x.at(p.rate), y.at(of(p)/1000))
		}
		svg.WriteString(`"/>` + "\n")
	}
	trace(func(p point) float64 { return p.p99 }, "")
	trace(func(p point) float64 { return p.p50 }, `stroke-dasharray="4 4"`)
	last := c.points[len(c.points)-1]
	fmt.Fprintf(svg, `<text x="%.1f" y="%.1f" fill="%s">%s</text>`+"\n", x.at(last.rate)+8, y.at(last.p99/1000)+4, colour, c.name)
}
