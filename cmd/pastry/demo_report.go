package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// maxFaults is how many faults a report names; all are counted.
const maxFaults = 20

// report gathers what came of a demo, step by step.
type report struct {
	joins               []time.Duration // in the order of joining
	bytes               int64           // in all files
	skipped, provided   int             // files
	before, foundBefore *checked
	killed              int
	repair              repair
	atOnce, repaired    *checked

	faults []string // the first of them
	lost   int      // how many there were
}

// lose notes that something was lost.
func (r *report) lose(format string, args ...any) {
	r.lost++
	if len(r.faults) < maxFaults {
		r.faults = append(r.faults, fmt.Sprintf(format, args...))
	}
}

// details returns the faults, one a line.
func (r *report) details() string {
	s := strings.Join(r.faults, "\n")
	if more := r.lost - len(r.faults); more > 0 {
		s += fmt.Sprintf("\nand %d more", more)
	}
	return s
}

// verdict returns an error if anything was lost.
func (d *demo) verdict() error {
	if d.report.lost == 0 {
		return nil
	}
	return fmt.Errorf("lost, in %d cases (-seed %d tries the same again):\n%s", d.report.lost, d.seed, d.report.details())
}

// print prints the summary: one JSON object, or a table.
func (s *summary) print(w io.Writer, asJSON bool) error {
	if asJSON {
		return printJSON(w, s)
	}
	return s.table(w)
}

func (s *summary) table(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', tabwriter.AlignRight)
	row := func(name, before, atOnce, repaired string) {
		fmt.Fprintf(t, "%-31s\t%s\t%s\t%s\t\n", name, before, atOnce, repaired)
	}
	times := func(name string, q map[string]quantiles, get func(quantiles) float64) {
		cell := func(check string) string { return fmt.Sprintf("%.1f ms", get(q[check])) }
		row(name, cell("before"), cell("at_once"), cell("repaired"))
	}
	p50, p99 := func(q quantiles) float64 { return q.P50 }, func(q quantiles) float64 { return q.P99 }
	fmt.Fprintln(w)
	row("", "before the kill", "at once after it", "after repair")
	row("messages delivered at the root", of(s.DeliveredAtRoot, s.Routed), of(s.DeliveredAtOnce, s.RoutedAfter), of(s.DeliveredRepaired, s.RoutedAfter))
	row("  hops, mean", hops(s.MeanHops), hops(s.MeanHopsAtOnce), hops(s.MeanHopsRepaired))
	times("  until the answer, median", s.Messages, p50)
	times("  99th percentile", s.Messages, p99)
	row("files found", of(s.Found, s.Provided), of(s.FoundAtOnce, s.Provided), of(s.FoundRepaired, s.Provided))
	times("  until found, median", s.Lookups, p50)
	times("  99th percentile", s.Lookups, p99)
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, `
%d of %d hosts joined, in %.0f ms at the median and %.0f ms at most. %d of them
fell silent: out of all leaf sets after %.1f s, and these exact after %.1f s.
%d of %d files were announced, %d of them by a host that was killed. It all took %.1f s;
the seed was %d.
`, s.Joined, s.Nodes, s.JoinP50, s.JoinMax, s.Killed, s.Detected, s.Exact, s.Provided, s.Files, s.FilesOfKilled,
		s.Seconds["total"], s.Seed)
	return err
}

func of(n, all int) string { return fmt.Sprintf("%d of %d", n, all) }

func hops(mean float64) string { return fmt.Sprintf("%.2f", mean) }
