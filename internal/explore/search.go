package explore

import (
	"fmt"
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
	Settled   int          // states from which a run without faults was tried
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
	from   int32 // the visit before
	choice Choice
}

// search walks breadth first.
type search struct {
	*lab
	Result
	seen   map[uint64]struct{}
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
	s := &search{lab: l, seen: make(map[uint64]struct{})}
	s.meet(l.begin(nil), -1, Choice{})
	s.Layers = []int{1}
	for len(s.nodes) > 0 && s.Complete < cfg.Depth && s.Fault == nil && s.States < cfg.Limit {
		s.layer()
	}
	s.Exhausted = len(s.nodes) == 0
	s.trySettling()
	s.Versions = l.steps
	return s.Result
}

// layer takes every step from the states met last.
func (s *search) layer() {
	layer := s.nodes
	s.nodes = nil
	var choices []Choice
	for _, f := range layer {
		choices = s.choices(f.w, choices[:0])
		for _, c := range choices {
			w := f.w.clone()
			s.take(w, c)
			s.Steps++
			if s.meet(w, f.at, c); s.Fault != nil || s.States >= s.Limit {
				return
			}
		}
	}
	s.Complete++
	s.Layers = append(s.Layers, len(s.nodes))
}

// meet looks at a state unless it was met before.
func (s *search) meet(w *world, from int32, c Choice) {
	h := s.hash(w)
	if _, met := s.seen[h]; met {
		return
	}
	s.seen[h] = struct{}{}
	s.States++
	at := int32(len(s.visits))
	s.visits = append(s.visits, visit{from, c})
	s.Active = max(s.Active, count(w.actives()))
	if w.lenient() {
		s.Excused++
	}
	if err := s.look(w, &s.Clashes); err != nil {
		s.Fault = &Fault{Err: err, Path: s.path(at)}
		return
	}
	s.nodes = append(s.nodes, frontier{w, at})
	if s.Settle > 0 && h%uint64(s.Settle) == 0 {
		s.trySettle(w, at)
	}
}

// trySettling lets the states met last settle, which have no next step.
func (s *search) trySettling() {
	for _, f := range s.nodes {
		if s.Fault != nil || s.Settle <= 0 {
			return
		}
		if s.hash(f.w)/7%uint64(s.Settle) == 0 {
			s.trySettle(f.w, f.at)
		}
	}
}

func (s *search) trySettle(w *world, at int32) {
	s.Settled++
	took, err := s.settles(w)
	s.Slowest = max(s.Slowest, took)
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
	s := fmt.Sprintf("%d states (%s) by %d steps, %d of single nodes; up to %d active; %d lenient, clashes %v; %d settled, slowest in %v",
		r.States, depth, r.Steps, r.Versions, r.Active, r.Excused, r.Clashes[1:], r.Settled, r.Slowest)
	if r.Fault != nil {
		s += fmt.Sprintf("; FAULT after %d steps: %v", len(r.Fault.Path), r.Fault.Err)
	}
	return s
}
