package main

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Table is one comparison: some ways at the same thing, in one run.
type Table struct {
	Title  string
	Rounds int
	Turn   float64 // seconds
	Conns  int
	Rows   []Row
	Notes  []string
}

// Row is what one way came to: medians over the rounds, and last its ratios to
// others, taken within each round before the median. 0 stands for nothing to say.
type Row struct {
	Name                 string
	Rate                 float64 // operations a second
	P50, P99, P999       float64 // µs
	Server, Maria, Redis float64 // µs of processor time for one operation
	All                  float64 // the three together
	Floors               float64 // All, in those of the floor
	FloorsPaced          float64 // All, in those of the floor at Scrip's rate
	Scrips               float64 // All, in Scrip's
	RateOfFloor          float64 // Rate, in the floor's
}

// row makes one of what a subject came to. The others may be nil.
func (s *subject) row(floor, paced, scrip *subject) Row {
	part := func(name string) float64 { return s.median(func(r round) float64 { return r.cost[name] }) }
	r := Row{
		Name: s.name, Rate: s.median(rateOf),
		P50:    s.median(func(r round) float64 { return r.p50 }),
		P99:    s.median(func(r round) float64 { return r.p99 }),
		P999:   s.median(func(r round) float64 { return r.p999 }),
		Server: part(partServer), Maria: part(partMaria), Redis: part(partRedis),
		All: s.median(totalOf),
	}
	if floor != nil {
		r.Floors, r.RateOfFloor = s.times(floor, totalOf), s.times(floor, rateOf)
	}
	if paced != nil {
		r.FloorsPaced = s.times(paced, totalOf)
	}
	if scrip != nil {
		r.Scrips = s.times(scrip, totalOf)
	}
	return r
}

// table has a row for each of the subjects.
func (b *bench) table(title string, subjects []*subject, floor, paced, scrip *subject) Table {
	t := Table{Title: title, Rounds: b.rounds, Turn: b.options.turn.Seconds(), Conns: b.conns}
	for _, s := range subjects {
		t.Rows = append(t.Rows, s.row(floor, paced, scrip))
	}
	return t
}

// column is one of a table's.
type column struct {
	head string
	show func(Row) string
}

func columns() []column {
	number := func(of func(Row) float64, digits int) func(Row) string {
		return func(r Row) string { return figure(of(r), digits) }
	}
	return []column{
		{"requests/s", number(func(r Row) float64 { return r.Rate }, 0)},
		{"p50 ms", number(func(r Row) float64 { return r.P50 / 1000 }, 2)},
		{"p99 ms", number(func(r Row) float64 { return r.P99 / 1000 }, 2)},
		{"p99.9 ms", number(func(r Row) float64 { return r.P999 / 1000 }, 2)},
		{"server µs", number(func(r Row) float64 { return r.Server }, 1)},
		{"MariaDB µs", number(func(r Row) float64 { return r.Maria }, 1)},
		{"Redis µs", number(func(r Row) float64 { return r.Redis }, 1)},
		{"all µs", number(func(r Row) float64 { return r.All }, 1)},
		{"all ÷ floor", number(func(r Row) float64 { return r.Floors }, 2)},
		{"all ÷ floor, as many", number(func(r Row) float64 { return r.FloorsPaced }, 2)},
		{"all ÷ Scrip", number(func(r Row) float64 { return r.Scrips }, 2)},
		{"requests/s ÷ floor", number(func(r Row) float64 { return r.RateOfFloor }, 2)},
	}
}

// figure is a number with so many digits after the point; nothing for 0.
func figure(x float64, digits int) string {
	if x == 0 {
		return ""
	}
	text := fmt.Sprintf("%.*f", digits, x)
	whole, rest, _ := strings.Cut(text, ".")
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if rest != "" {
		whole += "." + rest
	}
	return whole
}

// markdown is the table as a page shows it, and a terminal: padded.
func (t Table) markdown() string {
	cells := [][]string{{""}}
	for _, r := range t.Rows {
		cells = append(cells, []string{r.Name})
	}
	for _, c := range columns() {
		shown, any := make([]string, len(t.Rows)), false
		for i, r := range t.Rows {
			shown[i] = c.show(r)
			any = any || shown[i] != ""
		}
		if !any {
			continue
		}
		cells[0] = append(cells[0], c.head)
		for i := range shown {
			cells[i+1] = append(cells[i+1], shown[i])
		}
	}
	return grid(cells)
}

// grid lays out cells as a table in Markdown, the first row its head, the first
// column to the left and the others to the right.
func grid(cells [][]string) string {
	widths := make([]int, len(cells[0]))
	for _, row := range cells {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell), 3)
		}
	}
	var text strings.Builder
	for i, row := range cells {
		for j, cell := range row {
			padding := strings.Repeat(" ", widths[j]-utf8.RuneCountInString(cell))
			if j == 0 {
				text.WriteString("| " + cell + padding)
			} else {
				text.WriteString(" | " + padding + cell)
			}
		}
		text.WriteString(" |\n")
		if i == 0 {
			text.WriteString(ruler(widths))
		}
	}
	return text.String()
}

func ruler(widths []int) string {
	var text strings.Builder
	text.WriteString("| " + strings.Repeat("-", widths[0]))
	for _, w := range widths[1:] {
		text.WriteString(" | " + strings.Repeat("-", w-1) + ":")
	}
	text.WriteString(" |\n")
	return text.String()
}
