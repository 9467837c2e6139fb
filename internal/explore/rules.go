package explore

import (
	"fmt"
	"slices"

	"github.com/secondbit/pastry"
)

// bootstrap returns the nodes that joiners are told of.
func (l *lab) bootstrap() (set uint16) {
	if len(l.Members) == 0 {
		return 1<<l.Nodes - 1
	}
	for _, i := range l.Members {
		set |= 1 << i
	}
	return set
}

// consistent reports whether the leaf set of every active node is what it must be,
// joiners with a grant aside.
func (l *lab) consistent(w *world) bool {
	members := w.actives()
	for i := range w.nodes {
		for side := range 2 {
			if !w.active(i) {
				continue
			}
			have := slices.Clone(w.nodes[i].sides[side])
			room := l.LeafSetSize/2 - len(have)
			have = slices.DeleteFunc(have, func(j int) bool { return w.runs(j) && !w.active(j) })
			want := l.side(members, i, side)
			if !slices.Equal(have, want[:min(len(want), room+len(have))]) {
				return false
			}
		}
	}
	return true
}

// side returns what one side of the leaf set of node i must be in a ring of
// members: 0 is going down.
func (l *lab) side(members uint16, i, side int) []int {
	var is []int
	for k := 1; k < l.Nodes && len(is) < l.LeafSetSize/2; k++ {
		j := (i + k) % l.Nodes
		if side == 0 {
			j = (i - k + l.Nodes) % l.Nodes
		}
		if members>>j&1 != 0 {
			is = append(is, j)
		}
	}
	return is
}

// exact returns a fault unless all nodes that run are one ring.
func (l *lab) exact(w *world) error {
	for i, v := range w.nodes {
		if !w.runs(i) {
			continue
		}
		if v.state != pastry.StateActive {
			return fmt.Errorf("n%d is %v", i, v.state)
		}
		for side, have := range v.sides {
			if want := l.side(w.up, i, side); !slices.Equal(have, want) {
				return fmt.Errorf("n%d has %v on the %s side of its leaf set, want %v", i, have, [2]string{"smaller", "larger"}[side], want)
			}
		}
	}
	return nil
}
