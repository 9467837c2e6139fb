package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/secondbit/pastry/internal/experiment"
)

const readmeHead = `# Figures

Written by ` + "`pastry sim all`" + `; [simulation.md](../simulation.md) says what is simulated and how. Solid
and coloured is what was measured, grey and dashed what the literature says. With the version that is named, each command
gives its figures again, whatever the machine.
`

// readme returns the page that shows every finished entry of the plan, those not
// chosen now too.
func (p *simPlan) readme() string {
	var b strings.Builder
	b.WriteString(readmeHead)
	for _, e := range p.all {
		if done := loadEntry(entryPath(p.out, e.name, false)); len(done.Runs) > 0 {
			b.WriteString(e.section(&done))
		}
	}
	return b.String()
}

// section shows one entry: its figures, their seeds and commands, and the table.
func (e *planEntry) section(done *simEntry) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n## %s\n\n%s\n", e.title, e.text)
	for _, f := range done.Figures {
		if hasPoints(f) {
			fmt.Fprintf(&b, "\n![%s](%s.svg)\n", f.Title, f.Name)
		}
	}
	fmt.Fprintf(&b, "\nSeed %s. [Reports](%s.json) of %s, made by:\n\n```sh\n%s\n```\n\n",
		strings.Join(done.seeds(), ", "), done.Name, strings.Join(done.versions(), " and "), strings.Join(e.shown(done.Commands), "\n"))
	b.WriteString(done.Table.markdown())
	b.WriteString("\n<details><summary>The runs</summary>\n\n")
	for i, r := range done.Runs {
		fmt.Fprintf(&b, "- `%s`: %s\n", r.Command, done.Table.Runs[i])
	}
	b.WriteString("\n</details>\n")
	return b.String()
}

// shown returns commands with what of the environment they need.
func (e *planEntry) shown(commands []string) []string {
	if e.gogc == 0 {
		return commands
	}
	var all []string
	for _, c := range commands {
		all = append(all, fmt.Sprintf("GOGC=%d %s", e.gogc, c))
	}
	return all
}

func hasPoints(f experiment.Figure) bool {
	return slices.ContainsFunc(f.Series, func(s experiment.Series) bool { return len(s.Points) > 0 })
}
