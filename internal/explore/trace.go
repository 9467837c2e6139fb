package explore

import (
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/secondbit/pastry"
)

// maxShown is how many steps are printed at either end of a long trace.
const maxShown = 150

// Print writes the steps to a fault one to a line, and what the nodes are in the
// end.
func (f *Fault) Print(to io.Writer, cfg Config) {
	l := newLab(cfg)
	var script []string
	w := l.begin(func(w *world, c Choice) { script = append(script, l.describe(w, c)) })
	from := w.now
	var lines []string
	after := func(was *world, what string) {
		lines = append(lines, fmt.Sprintf("%4d %8.3fs  %s%s",
			len(lines)+1, time.Duration(w.now-from).Seconds(), what, l.effects(was, w)))
	}
	for _, c := range f.Path {
		was, what := w.clone(), l.describe(w, c)
		l.take(w, c)
		after(was, what)
	}
	if f.Settling {
		l.calm(w)
		var was *world
		var what string
		l.settle(w, func(c Choice) {
			if was != nil {
				after(was, what)
			}
			was, what = w.clone(), l.describe(w, c)
		})
		after(was, what)
	}
	fmt.Fprintf(to, "%d nodes, members %v, L=%d\n", l.Nodes, l.Members, l.LeafSetSize)
	for _, line := range script {
		fmt.Fprintf(to, "     before: %s\n", line)
	}
	for i, line := range lines {
		if i == len(f.Path) {
			fmt.Fprintln(to, "     without further faults:")
		}
		if skipped := len(lines) - 2*maxShown; i == maxShown && skipped > 0 {
			fmt.Fprintf(to, "     %d steps more\n", skipped)
		}
		if i < maxShown || i >= len(lines)-maxShown {
			fmt.Fprintln(to, line)
		}
	}
	for i, v := range w.nodes {
		switch {
		case slices.Contains(l.Absent, i):
		case w.crashed>>i&1 != 0:
			fmt.Fprintf(to, "     n%d has crashed\n", i)
		case w.runs(i):
			fmt.Fprintf(to, "     n%d is %v, leaf set %v %v\n", i, v.state, v.sides[0], v.sides[1])
		}
	}
	fmt.Fprintf(to, "     %v\n", f.Err)
}

// describe says what a step does.
func (l *lab) describe(w *world, c Choice) string {
	switch c.Kind {
	case Deliver, Lose:
		f := w.flying[c.Packet]
		verb := "gets"
		if c.Kind == Lose {
			verb = "never gets"
		}
		late := ""
		if f.late != 0 {
			late = "late "
		}
		return fmt.Sprintf("n%d %s %s%s from n%d", f.to, verb, late, l.name(f.packet), f.from)
	case Start:
		return fmt.Sprintf("n%d begins to join", c.Node)
	case Crash:
		return fmt.Sprintf("n%d crashes", c.Node)
	}
	return "time passes"
}

// name says what a packet is.
func (l *lab) name(p *pastry.Packet) string {
	s := p.Kind.String()
	switch p.Kind {
	case pastry.KindRoute:
		if p.Msg.Join {
			s = fmt.Sprintf("join of n%d", l.index[p.Msg.OriginID])
		}
	case pastry.KindReply:
		s = fmt.Sprintf("answer to n%d naming %v", l.index[p.Answer.OriginID], l.names(p.Answer.Contacts))
	case pastry.KindProbeReply:
		s += fmt.Sprintf(" naming %v", l.names(p.Contacts))
	case pastry.KindAck:
		if p.Code != pastry.CodeOK {
			s += fmt.Sprintf(" %q", p.Code)
		}
	case pastry.KindGrantReply:
		s += fmt.Sprintf(" %q naming %v", p.Code, l.names(p.Contacts))
	case pastry.KindSuspect:
		s += " of"
		for _, id := range p.Suspects {
			s += fmt.Sprintf(" n%d", l.index[id])
		}
	}
	return fmt.Sprintf("%s (%v)", s, p.State)
}

func (l *lab) names(cs []*pastry.Contact) []int {
	is := []int{}
	for _, c := range cs {
		is = append(is, l.index[c.ID])
	}
	slices.Sort(is)
	return is
}

// effects says what became of the nodes by a step.
func (l *lab) effects(before, after *world) string {
	s := ""
	for i, v := range after.nodes {
		was := before.nodes[i]
		if v == was {
			continue
		}
		if v.state != was.state {
			s += fmt.Sprintf("; n%d is %v", i, v.state)
		}
		for j := range l.Nodes {
			if v.buried>>j&1 != 0 {
				s += fmt.Sprintf("; n%d takes n%d for dead", i, j)
			}
		}
		for _, m := range v.sent {
			s += fmt.Sprintf("; n%d sends n%d %s", i, m.to, l.name(m.packet))
		}
	}
	return s
}
