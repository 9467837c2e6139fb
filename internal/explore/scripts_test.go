package explore

import (
	"slices"
	"time"

	"github.com/secondbit/pastry"
)

// The scripts lead to where a search begins.

// rest leaves the ring alone until its tables are probed seldom.
func rest(s *Stage) {
	until := s.Now() + time.Minute
	s.Until(func() bool { return s.Now() > until && s.Quiet() })
}

// split cuts the ring in two until each half has buried the other, and mends it.
func split(s *Stage) {
	s.Cut(func(from, to int, _ *pastry.Packet) bool { return from/2 != to/2 })
	s.Until(func() bool {
		for i := range 2 {
			if s.Sees(i, 2) || s.Sees(i, 3) || s.Sees(i+2, 0) || s.Sees(i+2, 1) {
				return false
			}
		}
		return s.Quiet()
	})
	s.Cut(nil)
}

// untold returns a script in which n2 crashes after a rest, and one node is not told by
// those who find out, until enough of them have.
func untold(deaf int, enough func(s *Stage) bool) func(*Stage) {
	return func(s *Stage) {
		rest(s)
		s.Cut(func(_, to int, p *pastry.Packet) bool { return p.Kind == pastry.KindSuspect && to == deaf })
		s.Crash(2)
		s.Until(func() bool { return enough(s) })
		s.Cut(nil)
	}
}

// leftKnow reports whether those on the left of n2 know of its death, and are done with it.
func leftKnow(s *Stage) bool { return !s.Sees(0, 2) && !s.Sees(1, 2) && s.Quiet() }

// allButFirstKnow reports whether everybody but n0 knows that n2 has died.
func allButFirstKnow(s *Stage) bool {
	return !slices.ContainsFunc([]int{1, 3, 4, 5}, func(i int) bool { return s.Sees(i, 2) })
}

// oldLease has a joiner hold the grant of its left neighbour n1 alone, since that of the
// right one does not come, until the others have found n1 dead.
func oldLease(s *Stage) {
	s.Join(2)
	s.Until(func() bool { return s.Flying(2, 4, pastry.KindGrant) })
	s.Cut(func(_, to int, p *pastry.Packet) bool { return p.Kind == pastry.KindGrant && to == 4 })
	s.Crash(1)
	s.Until(func() bool { return !s.Sees(0, 1) && !s.Sees(4, 1) })
	s.Cut(nil)
}

// announced has n1, which n0 is about to take for dead, grant n2 its place and crash. n0
// has heard that n2 is active, and asks it.
func announced(s *Stage) {
	answers := 0
	s.Cut(func(from, to int, p *pastry.Packet) bool {
		lost := from == 1 && to == 0
		if lost && p.Kind == pastry.KindProbeReply {
			answers++
		}
		return lost
	})
	s.Until(func() bool { return answers == 3 })
	s.Join(2)
	s.Until(func() bool { return s.Flying(2, 4, pastry.KindGrant) })
	s.Crash(1)
	s.Until(func() bool { return s.Active(2) && s.Flying(0, 2, pastry.KindProbe) })
	s.Cut(nil)
}

// handedBack has n1 hand its answer to the join of n2 to n4, whose acknowledgement is on
// its way.
func handedBack(s *Stage) {
	s.Join(2)
	s.Until(func() bool { return s.Flying(4, 1, pastry.KindAck) })
}

// overdue has n0 ask n1 what became of it, when the place that it granted n1 has not been
// taken in time.
func overdue(s *Stage) {
	s.Join(1)
	s.Until(func() bool { return s.Flying(1, 2, pastry.KindGrant) })
	granted := s.Now()
	s.Cut(func(_, _ int, p *pastry.Packet) bool { return p.Kind == pastry.KindGrant })
	s.Until(func() bool { return s.Now() >= granted+10*time.Second && s.Flying(0, 1, pastry.KindProbe) })
	s.Cut(nil)
}

// asking returns a script in which nodes join up to their first request for a grant,
// which is on its way.
func asking(joiners ...int) func(*Stage) {
	return func(s *Stage) {
		s.Hold(func(_, _ int, p *pastry.Packet) bool { return p.Kind == pastry.KindGrant })
		for _, i := range joiners {
			s.Join(i)
			s.Until(func() bool { return asks(s, i) })
		}
		s.Hold(nil)
	}
}

// behind is asking, after which one more joins up to where it is active and nobody else
// has heard of it.
func behind(first int, others ...int) func(*Stage) {
	return func(s *Stage) {
		asking(others...)(s)
		s.Hold(func(from, _ int, p *pastry.Packet) bool { return p.Kind == pastry.KindGrant && from != first })
		s.Join(first)
		s.Until(func() bool { return s.Active(first) })
		s.Hold(nil)
	}
}

// founded has all nodes join at once, without a ring, until one has founded it and the
// others have asked for their first grant.
func founded(s *Stage) {
	s.Hold(func(_, _ int, p *pastry.Packet) bool { return p.Kind == pastry.KindGrant })
	for i := range s.Nodes {
		s.Join(i)
	}
	s.Until(func() bool {
		waiting := 0
		for i := range s.Nodes {
			if asks(s, i) {
				waiting++
			}
		}
		return waiting == s.Nodes-1
	})
	s.Hold(nil)
}

// asks reports whether a joiner's request for a grant is on its way.
func asks(s *Stage, joiner int) bool {
	for i := range s.Nodes {
		if s.Flying(joiner, i, pastry.KindGrant) {
			return true
		}
	}
	return false
}

// quickDeath has the left neighbour of a joiner die whose grant the joiner holds, and be
// suspected at once, as the message of another joiner is handed to it.
func quickDeath(s *Stage) {
	from := s.Now()
	s.Until(func() bool { return s.Now() > from+62*time.Second && s.Quiet() })
	s.Join(5)
	s.Until(func() bool { return s.Flying(5, 9, pastry.KindGrant) })
	at := s.Now()
	s.Cut(func(_, to int, p *pastry.Packet) bool { return p.Kind == pastry.KindGrant && to == 9 })
	s.Crash(2)
	s.Join(4)
	s.Until(func() bool { return s.Now() > at+100*time.Millisecond && s.Quiet() })
	s.Cut(nil)
}
