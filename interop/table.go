package interop

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/secondbit/pastry/testutil"
)

var peerIDs = regexp.MustCompile(`\b(12D3Koo|Qm)[1-9A-HJ-NP-Za-km-z]{20,}`)

// reason returns why a case did not pass, in one line and without what changes
// from run to run.
func reason(r testutil.Result) string {
	line, _, _ := strings.Cut(r.Reason, "\n")
	return peerIDs.ReplaceAllString(line, "<peer>")
}

// Text returns the results as lines: outcome, case, and after that the reason.
func Text(rs []testutil.Result) string {
	var b strings.Builder
	for _, r := range rs {
		line := fmt.Sprintf("%s  %-34s  %s", r.Outcome, r.Case.Name, reason(r))
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	return b.String()
}

// Outcomes returns the outcome of each case, of lines as Text writes them.
func Outcomes(text string) map[string]testutil.Outcome {
	outcomes := make(map[string]testutil.Outcome)
	for line := range strings.Lines(text) {
		columns := regexp.MustCompile(`  +`).Split(strings.TrimSpace(line), 3)
		if len(columns) > 1 {
			outcomes[columns[1]] = testutil.Outcome(columns[0])
		}
	}
	return outcomes
}

// Markdown returns a table of the outcomes of several subjects, which have the
// same cases, with a summary below.
func Markdown(names []string, results [][]testutil.Result) string {
	var b strings.Builder
	fmt.Fprintf(&b, "| Case | What holds | %s |\n|---|---|%s\n", strings.Join(names, " | "), strings.Repeat("---|", len(names)))
	counts := make([]map[testutil.Outcome]int, len(names))
	for i := range counts {
		counts[i] = make(map[testutil.Outcome]int)
	}
	for row, first := range results[0] {
		fmt.Fprintf(&b, "| %s | %s |", first.Case.Name, first.Case.Checks)
		for i, rs := range results {
			o := rs[row].Outcome
			counts[i][o]++
			fmt.Fprintf(&b, " %s |", mark(o))
		}
		b.WriteString("\n")
	}
	b.WriteString("\n")
	for i, name := range names {
		c := counts[i]
		fmt.Fprintf(&b, "%s: %d pass, %d fail, %d skipped.\n", name, c[testutil.Passed], c[testutil.Failed], c[testutil.Skipped])
	}
	return b.String()
}

func mark(o testutil.Outcome) string {
	switch o {
	case testutil.Passed:
		return "yes"
	case testutil.Failed:
		return "**no**"
	}
	return "–"
}
