package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/secondbit/pastry/internal/experiment"
)

// simTable is what some runs measured: a line for each figure and a column for each
// run.
type simTable struct {
	Columns []string   `json:"columns"` // of the values; none if there is but one
	Rows    []tableRow `json:"rows"`
	Runs    []string   `json:"runs"` // what each run was
}

// tableRow is a figure of all runs. Where a run did not have it, Values and Paper
// are empty.
type tableRow struct {
	Name   string   `json:"name"`
	Values []string `json:"values"`
	Paper  []string `json:"paper,omitempty"` // in the literature, nil if nowhere
}

// newTable brings the reports together. Figures stand in the order in which the
// first report that has them gives them.
func newTable(labels []string, reports []experiment.Report) simTable {
	var t simTable
	if len(reports) > 1 {
		t.Columns = labels
	}
	for i, r := range reports {
		t.Runs = append(t.Runs, circumstances(r.Head()))
		at := 0
		for _, row := range append(r.Rows(), faultRows(r)...) {
			at = t.add(at, i, len(reports), row)
		}
	}
	return t
}

// faultRows has a row for everything that must never happen and did.
func faultRows(r experiment.Report) []experiment.Row {
	var rows []experiment.Row
	for _, fault := range r.Head().Faults {
		rows = append(rows, experiment.Row{Name: "fault", Value: fault})
	}
	return rows
}

// add enters a figure of run i of n, in the line of its name at or after the given
// one, and returns the line after it.
func (t *simTable) add(at, i, n int, row experiment.Row) int {
	found := slices.IndexFunc(t.Rows, func(r tableRow) bool { return r.Name == row.Name && r.Values[i] == "" })
	if found < 0 {
		t.Rows = slices.Insert(t.Rows, at, tableRow{Name: row.Name, Values: make([]string, n)})
		found = at
	}
	r := &t.Rows[found]
	r.Values[i] = row.Value
	if row.Paper != "" {
		if r.Paper == nil {
			r.Paper = make([]string, n)
		}
		r.Paper[i] = row.Paper
	}
	return found + 1
}

// circumstances says in a line how a report came about.
func circumstances(h *experiment.Header) string {
	return fmt.Sprintf("%s nodes by %s, topology %s, b=%d, L=%d, seed %d; %s of virtual time, %s events, %s packets",
		grouped(uint64(h.Nodes)), h.Built, h.Topology, h.DigitBits, h.LeafSet, h.Seed,
		roundedTime(time.Duration(h.VirtualTime*float64(time.Second))), grouped(h.Events), grouped(h.Packets))
}

// grouped returns a number with commas.
func grouped(n uint64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

const literature = "in the literature"

// cells returns the table in words: a heading and the lines. With one run the
// literature has a column, with several a line below each figure.
func (t *simTable) cells() (head []string, lines [][]string) {
	if t.Columns == nil {
		for _, r := range t.Rows {
			lines = append(lines, []string{r.Name, r.Values[0], strings.Join(r.Paper, "")})
		}
		return []string{"", "measured", literature}, lines
	}
	for _, r := range t.Rows {
		lines = append(lines, append([]string{r.Name}, r.Values...))
		if r.Paper != nil {
			lines = append(lines, append([]string{"  " + literature}, r.Paper...))
		}
	}
	return append([]string{""}, t.Columns...), lines
}

// printReports prints reports for people.
func printReports(w io.Writer, labels []string, reports []experiment.Report) error {
	t := newTable(labels, reports)
	for i, r := range reports {
		fmt.Fprintf(w, "%s\n  %s\n", r.Head().Command, t.Runs[i])
	}
	fmt.Fprintln(w)
	return t.print(w)
}

// print prints the table in columns as wide as they need to be.
func (t *simTable) print(w io.Writer) error {
	head, lines := t.cells()
	lines = append([][]string{head}, lines...)
	widths := make([]int, len(head))
	for _, line := range lines {
		for i, cell := range line {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	for _, line := range lines {
		var text strings.Builder
		for i, cell := range line {
			fmt.Fprintf(&text, "%-*s   ", widths[i], cell)
		}
		b.WriteString(strings.TrimRight(text.String(), " ") + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// markdown returns the table for a README.
func (t *simTable) markdown() string {
	head, lines := t.cells()
	var b strings.Builder
	writeLine := func(cells []string) {
		b.WriteString("|")
		for _, c := range cells {
			c = strings.ReplaceAll(c, "|", `\|`)
			if strings.HasPrefix(c, "  ") {
				c = "&nbsp;&nbsp;" + strings.TrimSpace(c)
			}
			b.WriteString(" " + c + " |")
		}
		b.WriteString("\n")
	}
	writeLine(head)
	b.WriteString("|" + strings.Repeat("---|", len(head)) + "\n")
	for _, line := range lines {
		writeLine(line)
	}
	return b.String()
}
