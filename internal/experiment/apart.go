package experiment

import (
	"cmp"
	"slices"
	"strings"
)

// apart tells runs from each other: it returns a function that names those
// parameters of a report's command that the commands of reports do not all have, as
// in ", -heartbeat 30s". Parameters in shown, which a figure shows in another way, are
// passed over. So it is empty for what all have in common, and for what is by default.
func apart(reports []Report, shown ...string) func(h *Header) string {
	count := make(map[string]int)
	for _, r := range reports {
		for _, p := range given(r.Head().Command) {
			count[p]++
		}
	}
	return func(h *Header) string {
		var own strings.Builder
		for _, p := range given(h.Command) {
			name := strings.FieldsFunc(p[1:], func(r rune) bool { return r == ' ' || r == '=' })[0]
			if count[p] < len(reports) && !slices.Contains(shown, name) {
				own.WriteString(", " + p)
			}
		}
		return own.String()
	}
}

// given returns the parameters that a command names, each with its value, in the
// form in which reports have them.
func given(command string) []string {
	var all []string
	for _, word := range strings.Fields(command) {
		switch {
		case strings.HasPrefix(word, "-"):
			all = append(all, word)
		case len(all) > 0:
			all[len(all)-1] += " " + word
		}
	}
	return all
}

// group collects curves by their names, in the order in which these first appear.
type group struct{ series []Series }

// add adds points to the curve with a name.
func (g *group) add(name string, points ...Point) {
	at := slices.IndexFunc(g.series, func(s Series) bool { return s.Name == name })
	if at < 0 {
		at, g.series = len(g.series), append(g.series, Series{Name: name})
	}
	g.series[at].Points = append(g.series[at].Points, points...)
}

// curves returns the curves, each with its points from left to right.
func (g *group) curves() []Series {
	for _, s := range g.series {
		slices.SortStableFunc(s.Points, func(a, b Point) int { return cmp.Compare(a.X, b.X) })
	}
	return g.series
}
