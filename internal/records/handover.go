package records

import (
	"slices"
	"time"

	"github.com/secondbit/pastry/ring"
)

const (
	maxHands  = 4    // hands and pushes under way at once
	maxPauses = 64   // arcs set aside
	maxHanded = 1024 // records in a hand, those of one key more or less
	maxPushed = 256  // records in a push, likewise
)

// handing is what Replication knows of the records that it is no replica of.
type handing struct {
	look   time.Time // when to look for more
	since  time.Time // how long ago that was first put off; zero: it was not
	pauses []pause
	done   arcSet // handed to others by one that is no member
}

// pause sets an arc aside that was just handed over, or could not be.
type pause struct {
	arc      Arc // does not wrap
	until    time.Time
	failures int
}

// view takes note of a change of the view. To look for records is put off until
// the view settles, but not beyond a minute.
func (h *handing) view(now time.Time, settle time.Duration, member bool) {
	h.pauses, h.done = nil, nil
	if !member {
		h.look, h.since = now, time.Time{}
		return
	}
	if h.since.IsZero() {
		h.since = now
	}
	h.look = earlier(now.Add(settle), h.since.Add(max(settle, lookEvery)))
}

// nextHand returns the next hand or push that is due, nil if none is.
func (p *Replication) nextHand(now time.Time, x *Index) *run {
	if !p.mayHand() {
		return nil
	}
	h := &p.hand
	for i := 0; i < len(h.pauses); {
		again := h.pauses[i]
		if again.until.After(now) {
			i++
			continue
		}
		h.pauses = slices.Delete(h.pauses, i, i+1)
		if e, ok := x.First(again.arc); ok {
			r := p.handFrom(x, e.ID.Key, again.arc.Last)
			r.failures = again.failures
			return r
		}
	}
	if h.look.After(now) || len(h.pauses) >= maxPauses {
		return nil
	}
	for _, gap := range p.spokenFor().complement() {
		if e, ok := x.First(gap); ok {
			return p.handFrom(x, e.ID.Key, gap.Last)
		}
	}
	h.look, h.since = now.Add(lookEvery), time.Time{}
	return nil
}

// mayHand reports whether another hand or push can begin.
func (p *Replication) mayHand() bool {
	if !p.viewed || p.member && !p.sees || len(p.members.view.IDs) == 0 {
		return false
	}
	hands := 0
	for _, r := range p.running {
		if r.task.Kind != TaskSync {
			hands++
		}
	}
	return hands < maxHands
}

// spokenFor returns the keys among which not to look for records to hand over.
func (p *Replication) spokenFor() arcSet {
	arcs := slices.Concat(p.own, p.hand.done)
	for _, s := range p.hand.pauses {
		arcs = append(arcs, s.arc)
	}
	for _, r := range p.running {
		if r.task.Kind != TaskSync {
			arcs = append(arcs, r.keys...)
		}
	}
	return newArcSet(arcs...)
}

// handFrom returns what to do with the record of a key and those that follow up
// to another key without crossing the top of the ring.
func (p *Replication) handFrom(x *Index, first, last ring.ID) *run {
	a, kind := Arc{First: first, Last: last}, TaskHand
	set, window, ok := p.members.replicasOf(first)
	if ok {
		if ring.Clockwise(first, window.Last).Less(ring.Clockwise(first, last)) {
			a.Last = window.Last
		}
		a = x.Head(a, maxHanded)
	} else {
		kind = TaskPush
		a = p.unseen(x, x.Head(a, maxPushed))
	}
	return &run{task: Task{Kind: kind, Peers: set, Arcs: []Arc{a}}, keys: newArcSet(a)}
}

// unseen returns the part of an arc before the first record whose replicas are
// seen; the first record in the arc is not such a one.
func (p *Replication) unseen(x *Index, a Arc) Arc {
	x.Ascend(a, func(e Entry) bool {
		_, _, seen := p.members.replicasOf(e.ID.Key)
		if seen {
			a.Last = prior(e.ID.Key)
		}
		return !seen
	})
	return a
}

// handed takes note of the end of a hand or a push. Its arc is set aside until
// what was dropped is gone, or until it is tried again.
func (p *Replication) handed(now time.Time, r *run, ok bool) {
	if r.stale {
		return
	}
	s := pause{arc: r.task.Arcs[0], until: now.Add(p.cfg.Backoff)}
	switch {
	case !ok:
		s.failures = r.failures + 1
		s.until = now.Add(p.backoff(s.failures))
	case !p.member:
		p.hand.done = p.hand.done.union(r.keys)
		return
	}
	p.hand.pauses = append(p.hand.pauses, s)
}

// handDeadline returns when nextHand may have something that is not due yet.
func (p *Replication) handDeadline() (t time.Time, ok bool) {
	if !p.mayHand() {
		return t, false
	}
	if len(p.hand.pauses) < maxPauses {
		t, ok = p.hand.look, true
	}
	for _, s := range p.hand.pauses {
		if !ok || s.until.Before(t) {
			t, ok = s.until, true
		}
	}
	return t, ok
}
