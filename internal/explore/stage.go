package explore

import (
	"fmt"
	"slices"
	"time"

	"github.com/secondbit/pastry"
)

// Stage is where a script plays: it takes the steps of one run, packets in the
// order in which they were sent and without a late one.
type Stage struct {
	*lab
	w     *world
	cut   func(from, to int, p *pastry.Packet) bool
	held  func(from, to int, p *pastry.Packet) bool
	watch func(*world, Choice)
}

// maxScript is how long a script may wait for something.
const maxScript = 10 * time.Minute

// Join lets a node begin to join.
func (s *Stage) Join(i int) { s.step(Choice{Kind: Start, Node: int8(i)}) }

// Crash stops a node.
func (s *Stage) Crash(i int) { s.step(Choice{Kind: Crash, Node: int8(i)}) }

// Cut has all packets lost from now on for which lost returns true, those in flight
// included. With nil none is lost any more.
func (s *Stage) Cut(lost func(from, to int, p *pastry.Packet) bool) {
	s.cut = lost
	s.drop()
}

// Hold keeps in flight, in Until, all packets for which held returns true; with nil none.
// Time that passes makes them late.
func (s *Stage) Hold(held func(from, to int, p *pastry.Packet) bool) { s.held = held }

// Until lets packets arrive, and time pass when there is none, until done.
func (s *Stage) Until(done func() bool) {
	for from := s.w.now; !done(); {
		if time.Duration(s.w.now-from) > maxScript {
			panic(fmt.Sprintf("explore: the script waits in vain: %d packets in flight", len(s.w.flying)))
		}
		next := slices.IndexFunc(s.w.flying, func(f flight) bool { return s.held == nil || !s.held(f.from, f.to, f.packet) })
		if next >= 0 {
			s.step(Choice{Kind: Deliver, Packet: int16(next)})
		} else {
			s.step(Choice{Kind: Wait})
		}
	}
}

// Flying reports whether a packet of a kind is on its way from a node to another.
func (s *Stage) Flying(from, to int, kind pastry.Kind) bool { return s.find(from, to, kind) >= 0 }

// Quiet reports whether nothing is on its way.
func (s *Stage) Quiet() bool { return len(s.w.flying) == 0 }

// Active reports whether a node is active.
func (s *Stage) Active(i int) bool { return s.w.active(i) }

// Sees reports whether a node has another in its leaf set.
func (s *Stage) Sees(i, other int) bool {
	v := s.w.nodes[i]
	return slices.Contains(v.sides[0], other) || slices.Contains(v.sides[1], other)
}

// Now returns the time.
func (s *Stage) Now() time.Duration { return time.Duration(s.w.now) }

func (s *Stage) find(from, to int, kind pastry.Kind) int {
	return slices.IndexFunc(s.w.flying, func(f flight) bool { return f.from == from && f.to == to && f.packet.Kind == kind })
}

func (s *Stage) step(c Choice) {
	if s.watch != nil {
		s.watch(s.w, c)
	}
	s.take(s.w, c)
	if err := s.fault(s.w); err != nil {
		panic(fmt.Sprintf("explore: the script breaks a rule: %v", err))
	}
	s.drop()
}

// drop loses what is cut off.
func (s *Stage) drop() {
	for i := 0; s.cut != nil && i < len(s.w.flying); {
		f := s.w.flying[i]
		if !s.cut(f.from, f.to, f.packet) {
			i++
			continue
		}
		c := Choice{Kind: Lose, Packet: int16(i)}
		if s.watch != nil {
			s.watch(s.w, c)
		}
		s.take(s.w, c)
	}
}
