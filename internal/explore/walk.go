package explore

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// Walk is a random run on a ring that may be large, and what came of it.
type Walk struct {
	Seed    uint64
	Steps   int // taken
	Time    time.Duration
	Active  int          // the most nodes active at once
	Excused int          // steps after which less was promised of some pair of nodes
	Clashes [excuses]int // steps after which two nodes were root of a key, by their excuse
	Took    time.Duration
	Fault   *Fault
}

// RandomWalk takes up to cfg.Depth steps at random, of those that Search tries,
// and then lets the ring settle. The seed decides everything.
func RandomWalk(cfg Config) Walk {
	l := newLab(cfg)
	w := l.begin(nil)
	r := Walk{Seed: cfg.Seed}
	walker := &walker{lab: l, rng: rand.New(rand.NewPCG(cfg.Seed, 0x3a1c)), victim: -1}
	from := w.now
	var path []Choice
	for range cfg.Depth {
		c, ok := walker.pick(w)
		if !ok {
			break
		}
		path = append(path, c)
		l.take(w, c)
		r.Steps++
		r.Active = max(r.Active, count(w.actives()))
		if w.lenient() {
			r.Excused++
		}
		if err := l.look(w, &r.Clashes); err != nil {
			r.Fault = &Fault{Err: err, Path: path}
			break
		}
	}
	r.Time = time.Duration(w.now - from)
	if r.Fault == nil {
		var err error
		l.calm(w)
		if r.Took, err = l.settle(w, nil); err != nil {
			r.Fault = &Fault{Err: err, Path: path, Settling: true}
		}
	}
	return r
}

// walker draws steps.
type walker struct {
	*lab
	rng    *rand.Rand
	victim int // node that is being cut off, -1 if none
}

// pick draws a step. Packets are lost and late now and then, and for a while all
// of one node may be lost. It reports false when it finds nothing to do.
func (l *walker) pick(w *world) (Choice, bool) {
	for range 2000 {
		x := l.rng.IntN(1000)
		i := l.rng.IntN(l.Nodes)
		switch {
		case x < 4:
			l.victim = i
		case x < 30:
			l.victim = -1
		case x < 38 && l.can(w, Choice{Kind: Start, Node: int8(i)}):
			return Choice{Kind: Start, Node: int8(i)}, true
		case x < 43 && l.can(w, Choice{Kind: Crash, Node: int8(i)}):
			return Choice{Kind: Crash, Node: int8(i)}, true
		case x < 46 && len(w.flying) > 0 && w.inTime() <= min(w.faults, 4):
			return Choice{Kind: Wait}, true
		case len(w.flying) == 0 || w.inTime() == 0 && x < 300:
			if c := (Choice{Kind: Wait}); l.can(w, c) {
				return c, true
			}
		default:
			k := l.rng.IntN(len(w.flying))
			f := w.flying[k]
			if cut := f.from == l.victim || f.to == l.victim; w.faults > 0 && (cut || x < 50) {
				return Choice{Kind: Lose, Packet: int16(k)}, true
			}
			return Choice{Kind: Deliver, Packet: int16(k)}, true
		}
	}
	return Choice{}, false
}

// Shrink returns a fault like f, of the same configuration, to which fewer steps
// lead: it leaves out whatever can be left out, half of the steps at first, in
// the end one at a time. Steps name packets by number, so it finds less than the
// shortest way.
func Shrink(cfg Config, f *Fault) *Fault {
	for size := len(f.Path) / 2; size > 0; size /= 2 {
		for at := 0; at+size <= len(f.Path); {
			shorter := slices.Delete(slices.Clone(f.Path), at, at+size)
			if g := replay(cfg, shorter); g != nil && g.Settling == f.Settling {
				f = g
			} else {
				at += size
			}
		}
	}
	return f
}

// replay takes those of the steps that can be taken, and returns the fault they
// lead to.
func replay(cfg Config, steps []Choice) *Fault {
	l := newLab(cfg)
	w := l.begin(nil)
	var path []Choice
	for _, c := range steps {
		if !l.can(w, c) {
			continue
		}
		path = append(path, c)
		l.take(w, c)
		if err := l.fault(w); err != nil {
			return &Fault{Err: err, Path: path}
		}
	}
	l.calm(w)
	if _, err := l.settle(w, nil); err != nil {
		return &Fault{Err: err, Path: path, Settling: true}
	}
	return nil
}

// String sums up a walk in a line.
func (r Walk) String() string {
	s := fmt.Sprintf("seed %d: %d steps in %v, up to %d active, %d steps excused, settled in %v",
		r.Seed, r.Steps, r.Time.Round(time.Millisecond), r.Active, r.Excused, r.Took.Round(time.Millisecond))
	if r.Fault != nil {
		s += fmt.Sprintf("; FAULT after %d steps: %v", len(r.Fault.Path), r.Fault.Err)
	}
	return s
}
