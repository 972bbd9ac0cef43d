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
	RateOfCommon         float64 // Rate, in the common way's
}

// figures tells the value of each column by its name.
func (r *Row) figures(tell func(name string, x float64)) {
	for name, x := range map[string]float64{
		"rate": r.Rate, "p50": r.P50, "p99": r.P99, "p99.9": r.P999,
		"server": r.Server, "maria": r.Maria, "redis": r.Redis, "all": r.All,
		"floors": r.Floors, "floors paced": r.FloorsPaced, "scrips": r.Scrips,
		"rate of floor": r.RateOfFloor, "rate of common": r.RateOfCommon,
	} {
		if x != 0 {
			tell(name, x)
		}
	}
}

// peers are those whom a subject is set against; each may be nil.
type peers struct{ floor, paced, common, scrip *subject }

func (s *subject) row(p peers) Row {
	part := func(name string) float64 { return s.median(func(r round) float64 { return r.cost[name] }) }
	return Row{
		Name: s.name, Rate: s.median(rateOf),
		P50:    s.median(func(r round) float64 { return r.p50 }),
		P99:    s.median(func(r round) float64 { return r.p99 }),
		P999:   s.median(func(r round) float64 { return r.p999 }),
		Server: part(partServer), Maria: part(partMaria), Redis: part(partRedis),
		All:         s.median(totalOf),
		Floors:      s.times(p.floor, totalOf),
		FloorsPaced: s.times(p.paced, totalOf),
		Scrips:      s.times(p.scrip, totalOf),
		RateOfFloor: s.times(p.floor, rateOf), RateOfCommon: s.times(p.common, rateOf),
	}
}

// table has a row for each of the subjects.
func (b *bench) table(title string, subjects []*subject, p peers) Table {
	t := Table{Title: title, Rounds: b.rounds, Turn: b.options.turn.Seconds(), Conns: b.conns}
	for _, s := range subjects {
		t.Rows = append(t.Rows, s.row(p))
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
		{"a second", number(func(r Row) float64 { return r.Rate }, 0)},
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
		{"a second ÷ floor", number(func(r Row) float64 { return r.RateOfFloor }, 2)},
		{"a second ÷ common", number(func(r Row) float64 { return r.RateOfCommon }, 2)},
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
// column to the left and the others, which are numbers, to the right.
func grid(cells [][]string) string { return layOut(cells, false) }

// leftGrid is a table of words, which are too long to be padded.
func leftGrid(cells [][]string) string { return layOut(cells, true) }

func layOut(cells [][]string, words bool) string {
	widths := make([]int, len(cells[0]))
	for _, row := range cells {
		for i, cell := range row {
			widths[i] = max(widths[i], 3)
			if !words {
				widths[i] = max(widths[i], utf8.RuneCountInString(cell))
			}
		}
	}
	var text strings.Builder
	for i, row := range cells {
		for j, cell := range row {
			padding := strings.Repeat(" ", max(0, widths[j]-utf8.RuneCountInString(cell)))
			if j == 0 || words {
				text.WriteString("| " + cell + padding + " ")
			} else {
				text.WriteString("| " + padding + cell + " ")
			}
		}
		text.WriteString("|\n")
		if i == 0 {
			text.WriteString(ruler(widths, words))
		}
	}
	return text.String()
}

func ruler(widths []int, words bool) string {
	var text strings.Builder
	for i, w := range widths {
		if i == 0 || words {
			text.WriteString("| " + strings.Repeat("-", w) + " ")
		} else {
			text.WriteString("| " + strings.Repeat("-", w-1) + ": ")
		}
	}
	return text.String() + "|\n"
}
