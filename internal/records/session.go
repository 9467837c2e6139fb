package records

import (
	"fmt"
	"slices"

	"github.com/secondbit/pastry/pb"
	"github.com/secondbit/pastry/ring"
)

const (
	maxCount = 1<<31 - 1 // records that a summary may tell of
	maxParts = 32        // parts of one verdict
	maxDepth = 16        // divisions of an arc; each leaves a fifth of the records, or a single key
	maxAsked = 1 << 18   // arcs that one session asks about
)

// Session compares what a member holds with what another does, from the side
// that asks:
//
//	for arcs := s.Next(x); len(arcs) > 0; arcs = s.Next(x) {
//		// call Compare of the other with arcs
//		err := s.Answer(x, verdicts)
//		// fetch s.TakeLacking(), store it, then send s.TakeSurplus(x)
//	}
//
// The index may change between the calls. What is taken need not be taken after
// each answer, but only then is the memory of a session bounded. Whatever the
// other answers, a session ends: with an error, or after a number of calls that
// is bounded. It is not safe for concurrent use.
type Session struct {
	open    []question // to be asked, the last first
	asked   []question // in the call that is under way
	count   int        // arcs asked about so far
	lacking []Item
	surplus []difference
}

// question is an arc that may differ.
type question struct {
	arc   Arc
	depth int
}

// difference is a record that the other lacks or has in another version.
type difference struct {
	id    ID
	other uint64 // the other's version
	both  bool   // the other has one
}

// NewSession returns a session about some arcs, which should not overlap.
func NewSession(arcs ...Arc) *Session {
	s := &Session{}
	for _, a := range slices.Backward(arcs) {
		s.open = append(s.open, question{arc: a})
	}
	return s
}

// Next returns the arcs of the next call, at most MaxArcs, none when the
// comparison is done. A call that was not answered is repeated.
func (s *Session) Next(x *Index) []*pb.Arc {
	s.reopen(s.asked)
	n := min(len(s.open), MaxArcs)
	s.asked = make([]question, 0, n)
	arcs := make([]*pb.Arc, 0, n)
	for range n {
		q := s.open[len(s.open)-1]
		s.open = s.open[:len(s.open)-1]
		s.asked = append(s.asked, q)
		arcs = append(arcs, encodeArc(q.arc, x.Summary(q.arc)))
	}
	return arcs
}

// Answer takes in the verdicts on the arcs that Next returned last, or on as many
// of the first of them as the other had room for. After an error, which wraps
// ErrCompare, the session is over: Next returns nothing.
func (s *Session) Answer(x *Index, verdicts []*pb.Verdict) error {
	asked := s.asked
	s.asked = nil
	s.count += len(asked)
	err := s.answer(x, asked, verdicts)
	if err != nil {
		s.open = nil
	}
	return err
}

func (s *Session) answer(x *Index, asked []question, verdicts []*pb.Verdict) error {
	switch {
	case len(verdicts) > len(asked) || len(verdicts) == 0 && len(asked) > 0:
		return fmt.Errorf("%w: %d verdicts on %d arcs", ErrCompare, len(verdicts), len(asked))
	case s.count > maxAsked:
		return fmt.Errorf("%w: no end after %d arcs", ErrCompare, s.count)
	}
	s.reopen(asked[len(verdicts):])
	for i, v := range verdicts {
		var err error
		switch {
		case v.GetListed():
			err = s.listed(x, asked[i].arc, v)
		case len(v.GetItems()) > 0:
			err = fmt.Errorf("%w: items, not listed", ErrCompare)
		case len(v.GetParts()) > 0:
			err = s.divided(x, asked[i], v.GetParts())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// reopen puts questions back to be asked next.
func (s *Session) reopen(qs []question) {
	for _, q := range slices.Backward(qs) {
		s.open = append(s.open, q)
	}
}

// listed compares a list of all that the other holds in an arc.
func (s *Session) listed(x *Index, a Arc, v *pb.Verdict) error {
	if len(v.GetParts()) > 0 {
		return fmt.Errorf("%w: a list with parts", ErrCompare)
	}
	items, err := decodeItems(a, v.GetItems())
	if err != nil {
		return err
	}
	x.Ascend(a, func(e Entry) bool {
		for len(items) > 0 && a.compare(items[0].ID, e.ID) < 0 {
			s.lacking = append(s.lacking, items[0])
			items = items[1:]
		}
		if len(items) == 0 || items[0].ID != e.ID {
			s.surplus = append(s.surplus, difference{id: e.ID})
			return true
		}
		if other := items[0].Version; other != e.Version {
			s.lacking = append(s.lacking, items[0])
			s.surplus = append(s.surplus, difference{id: e.ID, other: other, both: true})
		}
		items = items[1:]
		return true
	})
	s.lacking = append(s.lacking, items...)
	return nil
}

// divided compares the other's summaries of the parts of an arc. Those that
// differ are asked about.
func (s *Session) divided(x *Index, q question, parts []*pb.Arc) error {
	if len(parts) < 2 || len(parts) > maxParts || q.depth == maxDepth {
		return fmt.Errorf("%w: %d parts at depth %d", ErrCompare, len(parts), q.depth)
	}
	start, length := ring.ID{}, ring.Clockwise(q.arc.First, q.arc.Last)
	var differ []question
	for i, m := range parts {
		a, theirs, err := decodeArc(m)
		if err != nil {
			return err
		}
		end := ring.Clockwise(q.arc.First, a.Last)
		if ring.Clockwise(q.arc.First, a.First) != start || end.Less(start) || length.Less(end) {
			return fmt.Errorf("%w: parts that do not make up their arc", ErrCompare)
		}
		if last := i == len(parts)-1; last != (end == length) {
			return fmt.Errorf("%w: parts that do not make up their arc", ErrCompare)
		}
		start = after(end)
		switch {
		case x.Summary(a) == theirs:
		case theirs.Count == 0:
			s.only(x, a)
		default:
			differ = append(differ, question{arc: a, depth: q.depth + 1})
		}
	}
	s.reopen(differ)
	return nil
}

// only notes that the other has nothing in an arc.
func (s *Session) only(x *Index, a Arc) {
	x.Ascend(a, func(e Entry) bool {
		s.surplus = append(s.surplus, difference{id: e.ID})
		return true
	})
}

// TakeLacking returns the records found since it was last called that the other
// alone holds or has in another version, and in which version: what is to be
// fetched.
func (s *Session) TakeLacking() []Item {
	items := s.lacking
	s.lacking = nil
	return items
}

// TakeSurplus returns the records found since it was last called that this side
// holds and the other lacks or has in another version: what is to be sent. It
// leaves out what is now held in the other's version, as it is when what
// TakeLacking returned was stored before and the other's version won, and what
// is held no more.
func (s *Session) TakeSurplus(x *Index) []ID {
	var ids []ID
	for _, d := range s.surplus {
		if e, ok := x.Get(d.id); ok && (!d.both || e.Version != d.other) {
			ids = append(ids, d.id)
		}
	}
	s.surplus = nil
	return ids
}
