package explore

import (
	"fmt"
	"time"
)

// begin returns the world in which the search starts: the members are a ring
// that has settled, and the script has been played. It shows the steps of the
// script to watch, if set, before they are taken.
func (l *lab) begin(watch func(*world, Choice)) *world {
	w := &world{now: began, nodes: make([]*version, l.Nodes), live: l.Seed != 0}
	for i := range w.nodes {
		w.nodes[i] = l.newborn(i)
		if !w.live {
			l.snapshot(w.nodes[i])
		}
	}
	for _, i := range l.Absent {
		w.crashed |= 1 << i
	}
	for _, i := range l.Members {
		l.take(w, Choice{Kind: Start, Node: int8(i)})
		if _, err := l.settle(w, nil); err != nil {
			panic(fmt.Sprintf("explore: the members do not settle: %v", err))
		}
	}
	for len(w.flying) > 0 {
		l.take(w, Choice{Kind: Deliver})
	}
	if w.spent = 0; l.Script != nil {
		l.Script(&Stage{lab: l, w: w, watch: watch})
	}
	w.faults, w.crashes, w.rests = l.Faults, l.Crashes, l.Rests
	return w
}

// maxStorm is how many packets may follow from each other without a timer. A
// dozen nodes that all probe each other send some hundreds.
const maxStorm = 5000

// settle runs w without faults until it is exact, and returns how long that took.
// It shows each step to watch, if set, before it is taken.
func (l *lab) settle(w *world, watch func(Choice)) (time.Duration, error) {
	from, last, packets := w.now, w.now, 0
	for {
		unfit := l.exact(w)
		took := time.Duration(w.now - from)
		if unfit == nil && len(w.flying) == 0 {
			return took, nil
		}
		if took > l.Patience {
			return took, fmt.Errorf("after %v without faults: %w", took, unfit)
		}
		if packets++; w.now > last {
			last, packets = w.now, 0
		}
		if packets > maxStorm {
			return took, fmt.Errorf("%d packets follow from each other without a timer: %v", packets, unfit)
		}
		c := Choice{Kind: Wait}
		if len(w.flying) > 0 {
			c.Kind = Deliver
		}
		if watch != nil {
			watch(c)
		}
		l.take(w, c)
		if err := l.fault(w); err != nil {
			return took, err
		}
	}
}

// settles tries whether w becomes exact without faults.
func (l *lab) settles(w *world) (time.Duration, error) {
	c := w.clone()
	c.live = true
	for i, v := range c.nodes {
		c.nodes[i] = l.alive(v)
	}
	l.calm(c)
	return l.settle(c, nil)
}

// calm ends the faults and crashes. Where there was no member, all begin to join
// who have not: a ring comes about only when several do.
func (l *lab) calm(w *world) {
	w.faults, w.crashes = 0, 0
	for i := range w.nodes {
		if c := (Choice{Kind: Start, Node: int8(i)}); len(l.Members) == 0 && l.can(w, c) {
			l.take(w, c)
		}
	}
}

// calmest returns the next step of a run without faults: that of calm, or of settle.
func (l *lab) calmest(w *world) Choice {
	for i := range w.nodes {
		if c := (Choice{Kind: Start, Node: int8(i)}); len(l.Members) == 0 && l.can(w, c) {
			return c
		}
	}
	if len(w.flying) > 0 {
		return Choice{Kind: Deliver}
	}
	return Choice{Kind: Wait}
}
