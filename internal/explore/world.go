package explore

import (
	"math/bits"
	"slices"
	"time"

	"github.com/secondbit/pastry"
)

// world is the state of all nodes and of the packets between them.
type world struct {
	now     pastry.Time
	nodes   []*version
	flying  []flight
	up      uint16 // nodes that run and were told to join
	crashed uint16
	faults  int              // left
	crashes int              // left
	rests   int              // left
	spent   int              // packets lost or late so far, the script's included
	asked   int              // probes, and answers to them, among these, up to leastProbes
	wrong   [maxNodes]uint16 // nodes that each found dead while they ran, and has not heard since
	misled  [maxNodes]uint16 // the same of those that granted it its place, when they did
	back    [maxNodes]uint16 // the same who were heard since, and are not yet seen again
	through [maxNodes]uint16 // who granted each its place, and who granted those theirs
	bereft  uint16           // nodes that lost a whole side of their leaf sets, and those they granted a place
	deaths  int              // since the ring was last consistent
	broken  error            // by the last step
	live    bool             // its nodes are its own
}

type flight struct {
	*letter
	late   pastry.Time // since when; zero if it is not
	grant  bool        // it grants a place
	misled uint16      // with it: whom the grantor took for dead wrongly
	bereft bool        // with it: the grantor had lost a side
}

// latest is how late a packet may be: longer than a lease and than an attempt to
// join. What is later still counts as lost.
const latest = pastry.Time(12 * time.Second)

// ChoiceKind tells what a step does.
type ChoiceKind uint8

// The steps.
const (
	Deliver ChoiceKind = iota // packet number Packet arrives
	Lose                      // it never does
	Start                     // Node begins to join
	Crash                     // Node stops
	Wait                      // until the next timer that shows; what is in flight is late
)

// Choice is a step of a run.
type Choice struct {
	Kind   ChoiceKind
	Node   int8
	Packet int16 // index of those in flight
}

func (w *world) clone() *world {
	c := *w
	c.nodes = slices.Clone(w.nodes)
	c.flying = slices.Clone(w.flying)
	return &c
}

func (w *world) runs(i int) bool { return w.up>>i&1 != 0 }

func (w *world) active(i int) bool { return w.runs(i) && w.nodes[i].state == pastry.StateActive }

// actives returns the active nodes as a set.
func (w *world) actives() (set uint16) {
	for i := range w.nodes {
		if w.active(i) {
			set |= 1 << i
		}
	}
	return set
}

// resting reports whether all there is to be done has been.
func (l *lab) resting(w *world) bool { return len(w.flying) == 0 && l.exact(w) == nil }

// inTime returns how many packets in flight are not late.
func (w *world) inTime() (n int) {
	for _, f := range w.flying {
		if f.late == 0 {
			n++
		}
	}
	return n
}

// choices appends the steps that can be taken. Of packets that are alike in all
// that matters, one stands for all.
func (l *lab) choices(w *world, to []Choice) []Choice {
	var seen []uint64
	for i, f := range w.flying {
		h := l.flightHash(w, f)
		if slices.Contains(seen, h) {
			continue
		}
		seen = append(seen, h)
		to = l.choose(w, to, Choice{Kind: Deliver, Packet: int16(i)}, Choice{Kind: Lose, Packet: int16(i)})
	}
	for i := range w.nodes {
		to = l.choose(w, to, Choice{Kind: Start, Node: int8(i)}, Choice{Kind: Crash, Node: int8(i)})
	}
	return l.choose(w, to, Choice{Kind: Wait})
}

// choose appends those of some steps that can be taken.
func (l *lab) choose(w *world, to []Choice, among ...Choice) []Choice {
	for _, c := range among {
		if l.can(w, c) {
			to = append(to, c)
		}
	}
	return to
}

// can reports whether a step can be taken.
func (l *lab) can(w *world, c Choice) bool {
	i := int(c.Node)
	switch c.Kind {
	case Deliver:
		return int(c.Packet) < len(w.flying)
	case Lose:
		return int(c.Packet) < len(w.flying) && w.faults > 0
	case Start:
		return !w.runs(i) && w.crashed>>i&1 == 0
	case Crash:
		return w.runs(i) && w.crashes > 0 && w.actives()&l.bootstrap()&^(1<<i) != 0
	}
	return w.inTime() <= w.faults && (w.rests > 0 || !l.resting(w))
}

// take changes w by a step.
func (l *lab) take(w *world, c Choice) {
	w.broken = nil
	switch c.Kind {
	case Deliver:
		f := w.flying[c.Packet]
		w.flying = slices.Delete(w.flying, int(c.Packet), int(c.Packet)+1)
		l.stimulate(w, f.to, stimulus{at: w.now, packet: f.packet, from: f.from})
		w.inherit(f)
	case Lose:
		w.miss(w.flying[c.Packet])
		w.flying = slices.Delete(w.flying, int(c.Packet), int(c.Packet)+1)
	case Start:
		w.up |= 1 << c.Node
		l.stimulate(w, int(c.Node), stimulus{at: w.now, join: true})
	case Crash:
		w.up &^= 1 << c.Node
		w.crashed |= 1 << c.Node
		w.crashes--
		w.deaths++
		w.forget(int(c.Node))
		w.flying = slices.DeleteFunc(w.flying, func(f flight) bool { return f.to == int(c.Node) })
	case Wait:
		if l.resting(w) {
			w.rests--
		}
		for i := range w.flying {
			if w.flying[i].late == 0 {
				w.miss(w.flying[i])
				w.flying[i].late = w.now
			}
		}
		l.wait(w)
		w.flying = slices.DeleteFunc(w.flying, func(f flight) bool { return f.late != 0 && w.now-f.late > latest })
	}
	l.judge(w)
}

// miss counts a packet that is lost or late.
func (w *world) miss(f flight) {
	w.faults--
	w.spent++
	if k := f.packet.Kind; k == pastry.KindProbe || k == pastry.KindProbeReply {
		w.asked = min(w.asked+1, leastProbes)
	}
}

// stimulate lets a node take a step.
func (l *lab) stimulate(w *world, i int, s stimulus) {
	was := w.nodes[i]
	v := l.next(was, s, w.live)
	w.nodes[i] = v
	if s.packet != nil {
		w.heard(i, s.from)
	}
	l.suspect(w, was, v)
	for _, s := range v.sent {
		if w.runs(s.to) {
			w.flying = append(w.flying, w.flight(s))
		}
	}
}

// maxQuiet bounds the timers that fire in one Wait without anything to be seen.
const maxQuiet = 256

// wait lets time pass until a timer has fired whose work shows. With late packets
// in flight the next timer will do.
func (l *lab) wait(w *world) {
	for range maxQuiet {
		first := -1
		for i, v := range w.nodes {
			if w.runs(i) && v.deadline != 0 && (first < 0 || v.deadline < w.nodes[first].deadline) {
				first = i
			}
		}
		if first < 0 {
			return
		}
		w.now = max(w.now, (w.nodes[first].deadline+grain-1)/grain*grain)
		l.stimulate(w, first, stimulus{at: w.now})
		if w.nodes[first].visible || len(w.flying) > 0 {
			return
		}
	}
}

// digest hashes bytes, eight at a time.
func digest(b []byte) uint64 {
	h := mix(0x5eed, uint64(len(b)))
	for ; len(b) >= 8; b = b[8:] {
		h = mix(h, uint64(b[0])|uint64(b[1])<<8|uint64(b[2])<<16|uint64(b[3])<<24|
			uint64(b[4])<<32|uint64(b[5])<<40|uint64(b[6])<<48|uint64(b[7])<<56)
	}
	var last uint64
	for i, x := range b {
		last |= uint64(x) << (8 * i)
	}
	return mix(h, last)
}

func mix(h, v uint64) uint64 {
	hi, lo := bits.Mul64(h^v^0xa0761d6478bd642f, h+v*0xe7037ed1a0b428db+0x8ebc6af09c88c6e3)
	return hi ^ lo ^ bits.RotateLeft64(v*0x9e3779b97f4a7c15, 31)
}

// hash tells w from other worlds, for all that can happen next.
func (l *lab) hash(w *world) uint64 {
	h := mix(uint64(w.up)<<32|uint64(w.crashed)<<16|uint64(w.bereft), uint64(w.faults)<<32|uint64(w.crashes)<<16|uint64(w.rests&0xff)<<8|uint64(w.asked)<<4|uint64(w.deaths))
	for i, v := range w.nodes {
		if w.runs(i) {
			h = mix(h, v.hash)
			h = mix(h, uint64((w.now-v.at)/grain))
			h = mix(h, uint64(w.through[i])<<48|uint64(w.back[i])<<32|uint64(w.misled[i])<<16|uint64(w.wrong[i]))
			h = l.resolve(w, h, v.refs)
		}
	}
	var sum uint64
	for _, f := range w.flying {
		sum += l.flightHash(w, f)
	}
	return mix(h, sum)
}

func (l *lab) flightHash(w *world, f flight) uint64 {
	h := mix(f.hash, boolBit(f.bereft)<<32|uint64(f.misled)<<16|uint64(f.from)<<8|uint64(f.to))
	if f.late != 0 {
		h = mix(h, uint64((w.now-f.late)/grain))
	}
	return l.resolve(w, h, f.refs)
}

// resolve takes names that other nodes gave into a hash, by what they mean.
func (l *lab) resolve(w *world, h uint64, refs []pastry.Ref) uint64 {
	for _, r := range refs {
		var meaning int
		switch r.Kind {
		case pastry.RefSeq:
			meaning = slices.Index(w.nodes[l.index[r.Of]].waits, r.N)
		case pastry.RefVersion:
			meaning = int(w.nodes[l.index[r.Of]].leaves - r.N)
		case pastry.RefMessage:
			origin := l.origin[r.Msg]
			meaning = origin<<16 | slices.Index(w.nodes[origin].messages, r.Msg)
		}
		h = mix(h, uint64(meaning))
	}
	return h
}

func count(set uint16) int { return bits.OnesCount16(set) }

func boolBit(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}
