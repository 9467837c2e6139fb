package explore

import (
	"fmt"
	"math/bits"
	"slices"

	"github.com/secondbit/pastry"
)

// excuse is why two nodes may both be root of a key. See doc.go.
type excuse int

const (
	excuseNone      excuse = iota
	excuseSuspicion        // one of them takes the other for dead
	excuseReturn           // it did, and has heard from it, but not taken it in again
	excuseLease            // whoever granted the one its place took the other for dead, or the other it
	excuseSide             // one of them has lost a whole side of its leaf set, or whoever granted it its place had
	excuses
)

// leastSilence is how many packets must have been lost or late before a node that
// runs is taken for dead: as many as a probe has tries, or one less and a message
// that was not acknowledged.
const leastSilence = 3

// leastProbes is how many of these must have been probes, or answers to them.
const leastProbes = 2

// heard notes that a node got a packet from another.
func (w *world) heard(i, from int) {
	w.back[i] |= (w.wrong[i] | w.misled[i]) & (1 << from)
	w.wrong[i] &^= 1 << from
	w.misled[i] &^= 1 << from
}

// forget ends what others believe of a node that has crashed.
func (w *world) forget(i int) {
	w.wrong[i], w.misled[i], w.back[i], w.through[i] = 0, 0, 0, 0
	w.bereft &^= 1 << i
	for j := range w.nodes {
		w.heard(j, i)
		w.back[j] &^= 1 << i
	}
}

// suspect notes whom a node takes for dead in a step, although it runs.
func (l *lab) suspect(w *world, was, v *version) {
	wrong := v.buried & w.up
	w.wrong[v.node] |= wrong
	w.back[v.node] &^= wrong
	for s, side := range was.sides {
		for _, j := range side {
			if wrong>>j&1 != 0 && (w.spent < leastSilence || w.asked < leastProbes) {
				w.broken = fmt.Errorf("n%d takes its leaf n%d for dead, which runs, with %d packets lost or late, %d of them of probes",
					v.node, j, w.spent, w.asked)
			}
		}
		stays := slices.ContainsFunc(side, func(j int) bool { return slices.Contains(v.sides[s], j) })
		if v.buried != 0 && len(side) > 0 && !stays && w.deaths+count(w.blind(v.node)&w.up) >= l.LeafSetSize/2 {
			w.bereft |= 1 << v.node
		}
	}
}

// flight returns a letter as it leaves. A grant carries along what its joiner can be
// wrong about.
func (w *world) flight(s *letter) flight {
	f := flight{letter: s}
	if s.packet.Kind == pastry.KindGrantReply && s.packet.Code == pastry.CodeOK {
		f.grant = true
		f.misled = w.blind(s.from) & w.up &^ (1 << s.to)
		f.bereft = w.bereft>>s.from&1 != 0
	}
	return f
}

// inherit notes what a joiner that was granted its place can be wrong about.
func (w *world) inherit(f flight) {
	if !f.grant {
		return
	}
	w.misled[f.to] |= f.misled & w.up
	w.through[f.to] |= (1<<f.from | w.through[f.from]) & w.up &^ (1 << f.to)
	if f.bereft {
		w.bereft |= 1 << f.to
	}
}

// judge keeps account of the nodes of which less is promised.
func (l *lab) judge(w *world) {
	if w.deaths >= l.LeafSetSize/2 {
		w.bereave()
	}
	for i, v := range w.nodes {
		for _, side := range v.sides {
			for _, j := range side {
				w.back[i] &^= 1 << j
			}
		}
	}
	if !w.joining() && l.consistent(w) {
		none := [maxNodes]uint16{}
		w.misled, w.back, w.through, w.bereft, w.deaths = none, none, none, 0, 0
	}
}

// bereave finds the active nodes that have lost a whole side of their leaf set.
func (w *world) bereave() {
	for i, v := range w.nodes {
		for _, side := range v.sides {
			if w.active(i) && len(side) > 0 && !slices.ContainsFunc(side, w.runs) {
				w.bereft |= 1 << i
			}
		}
	}
}

// lenient reports whether there is a pair of nodes of which less is promised.
func (w *world) lenient() bool {
	for i := range w.nodes {
		if w.runs(i) && w.blind(i)&w.up != 0 {
			return true
		}
	}
	return w.bereft != 0
}

// joining reports whether a node that runs is joining.
func (w *world) joining() bool {
	for i, v := range w.nodes {
		if w.runs(i) && v.state == pastry.StateJoining {
			return true
		}
	}
	return false
}

// blind returns whom a node may not see although they run.
func (w *world) blind(i int) uint16 { return w.wrong[i] | w.misled[i] | w.back[i] }

// unseen reports whether a node does not see another because it took for dead who
// granted that one its place.
func (w *world) unseen(i, j int) bool {
	v := w.nodes[i]
	return w.blind(i)&w.through[j] != 0 && !slices.Contains(v.sides[0], j) && !slices.Contains(v.sides[1], j)
}

// excuse returns why two nodes may both be root of a key.
func (w *world) excuse(i, j int) excuse {
	either := func(set [maxNodes]uint16) bool { return set[i]>>j&1 != 0 || set[j]>>i&1 != 0 }
	switch {
	case either(w.wrong):
		return excuseSuspicion
	case either(w.back):
		return excuseReturn
	case either(w.misled), w.unseen(i, j), w.unseen(j, i):
		return excuseLease
	case w.bereft>>i&1 != 0 || w.bereft>>j&1 != 0:
		return excuseSide
	}
	return excuseNone
}

// fault returns the rule that the last step broke, or that w breaks.
func (l *lab) fault(w *world) error {
	if w.broken != nil {
		return w.broken
	}
	_, err := l.clash(w)
	return err
}

// look is fault, and counts the excuses that w needs.
func (l *lab) look(w *world, count *[excuses]int) error {
	if w.broken != nil {
		return w.broken
	}
	needed, err := l.clash(w)
	for why, need := range needed {
		count[why] += int(boolBit(need))
	}
	return err
}

// clash returns a fault when two active nodes are root of one key without excuse,
// and else the excuses that are needed, as a set.
func (l *lab) clash(w *world) (needed [excuses]bool, err error) {
	for i, a := range w.nodes {
		if !l.compared(w, i) {
			continue
		}
		for j, b := range w.nodes[:i] {
			if !l.compared(w, j) {
				continue
			}
			for k := range a.roots {
				both := a.roots[k] & b.roots[k]
				if both == 0 {
					continue
				}
				why := w.excuse(i, j)
				if why == excuseNone {
					return needed, fmt.Errorf("n%d and n%d are both root of key %v", j, i, l.keys[64*k+bits.TrailingZeros64(both)])
				}
				needed[why] = true
			}
		}
	}
	return needed, nil
}

// compared reports whether a node's roots are compared with those of others.
func (l *lab) compared(w *world, i int) bool {
	return w.active(i) && !(l.joiners && slices.Contains(l.Members, i))
}
