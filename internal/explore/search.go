package explore

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Result is what a search has found.
type Result struct {
	States    int          // distinct states visited
	Steps     int          // steps from one state to another that were tried
	Layers    []int        // states first met after 0, 1, 2, … steps
	Complete  int          // depth up to which every state was visited
	Exhausted bool         // there is no state beyond
	Versions  int          // steps of single nodes, each taken once
	Active    int          // the most nodes active in one state
	Excused   int          // states in which less is promised of some pair of nodes
	Clashes   [excuses]int // states in which two nodes were root of a key, by their excuse
	Settled   int          // states that a run without faults is known to lead from to one ring
	Tried     int          // of these, those from which it was tried, as the search goes no farther
	Slowest   time.Duration
	Fault     *Fault
}

// Fault is a broken rule, and a shortest way to it.
type Fault struct {
	Err  error
	Path []Choice
	// Settling is set if the rule is broken in the run without faults that follows.
	Settling bool
}

// visit is a state as the search remembers it.
type visit struct {
	from    int32 // the visit before
	calm    int32 // the visit after, if no fault comes; -1 if it is not known
	choice  Choice
	settled bool          // a run without faults leads from here to one ring
	took    time.Duration // until calm or, if settled, until then
}

// search walks breadth first.
type search struct {
	*lab
	Result
	seen   map[uint64]int32 // hash to visit
	visits []visit
	nodes  []frontier
}

type frontier struct {
	w  *world
	at int32
}

// Search visits all states of a configuration up to its depth, as long as there
// are fewer than its limit, and stops at the first fault.
func Search(cfg Config) Result {
	cfg.Seed = 0
	l := newLab(cfg)
	s := &search{lab: l, seen: make(map[uint64]int32)}
	s.meet(l.begin(nil), -1, Choice{})
	s.Layers = []int{1}
	for len(s.nodes) > 0 && s.Complete < cfg.Depth && s.Fault == nil && s.States < cfg.Limit {
		s.layer()
	}
	s.Exhausted = len(s.nodes) == 0
	if s.Settle {
		s.settleAll()
	}
	s.Versions = l.steps
	return s.Result
}

// layer takes every step from the states met last.
func (s *search) layer() {
	layer := s.nodes
	s.nodes = nil
	var choices []Choice
	for _, f := range layer {
		calm := s.calmest(f.w)
		choices = s.choices(f.w, choices[:0])
		for _, c := range choices {
			w := f.w.clone()
			s.take(w, c)
			s.Steps++
			at := s.meet(w, f.at, c)
			if s.Fault != nil || s.States >= s.Limit {
				return
			}
			if v := &s.visits[f.at]; c == calm && !v.settled {
				v.calm, v.took = at, time.Duration(w.now-f.w.now)
			}
		}
	}
	s.Complete++
	s.Layers = append(s.Layers, len(s.nodes))
}

// meet looks at a state unless it was met before, and returns its visit.
func (s *search) meet(w *world, from int32, c Choice) int32 {
	h := s.hash(w)
	if at, met := s.seen[h]; met {
		return at
	}
	s.States++
	at := int32(len(s.visits))
	s.seen[h] = at
	s.visits = append(s.visits, visit{from: from, calm: -1, choice: c, settled: s.calmest(w).Kind == Wait && s.resting(w)})
	s.Active = max(s.Active, count(w.actives()))
	if w.lenient() {
		s.Excused++
	}
	if err := s.look(w, &s.Clashes); err != nil {
		s.Fault = &Fault{Err: err, Path: s.path(at)}
		return at
	}
	s.nodes = append(s.nodes, frontier{w, at})
	return at
}

// settleAll sees that a run without faults leads from every state to one ring. The
// first step of that run leads to a state that was visited as well, but for the states
// met last: from these it is tried.
func (s *search) settleAll() {
	for _, f := range s.nodes {
		if v := &s.visits[f.at]; s.Fault == nil && !v.settled {
			took, err := s.settles(f.w)
			v.settled, v.took = err == nil, took
			s.Tried++
			s.unsettled(f.at, err)
		}
	}
	for at := range s.visits {
		if s.Fault == nil {
			s.follow(int32(at))
		}
	}
}

// follow goes from a state without faults to where it is known to settle.
func (s *search) follow(at int32) {
	var way []int32
	next := at
	for ; !s.visits[next].settled && s.visits[next].calm >= 0; next = s.visits[next].calm {
		if way = append(way, next); len(way) > len(s.visits) {
			s.unsettled(at, errors.New("a run without faults comes back to where it was"))
			return
		}
	}
	if !s.visits[next].settled {
		return // beyond the limit
	}
	for _, at := range slices.Backward(way) {
		v := &s.visits[at]
		v.settled, v.took = true, v.took+s.visits[v.calm].took
		if v.took > s.Patience {
			s.unsettled(at, fmt.Errorf("after %v without faults it is one ring", v.took))
			return
		}
	}
	s.Settled++
	s.Slowest = max(s.Slowest, s.visits[at].took)
}

func (s *search) unsettled(at int32, err error) {
	if err != nil {
		s.Fault = &Fault{Err: err, Path: s.path(at), Settling: true}
	}
}

// path returns the steps that lead to a visit.
func (s *search) path(at int32) []Choice {
	var path []Choice
	for ; s.visits[at].from >= 0; at = s.visits[at].from {
		path = append(path, s.visits[at].choice)
	}
	for i, j := 0, len(path)-1; i < j; i, j = i+1, j-1 {
		path[i], path[j] = path[j], path[i]
	}
	return path
}

// String sums up a search in a line.
func (r Result) String() string {
	depth := fmt.Sprintf("all up to depth %d", r.Complete)
	if r.Exhausted {
		depth = fmt.Sprintf("all there are, depth %d", r.Complete)
	}
	s := fmt.Sprintf("%d states (%s) by %d steps, %d of single nodes; up to %d active; %d lenient, clashes %v; %d settled, %d of them tried, slowest in %v",
		r.States, depth, r.Steps, r.Versions, r.Active, r.Excused, r.Clashes[1:], r.Settled, r.Tried, r.Slowest)
	if r.Fault != nil {
		s += fmt.Sprintf("; FAULT after %d steps: %v", len(r.Fault.Path), r.Fault.Err)
	}
	return s
}
