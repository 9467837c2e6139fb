package records

import (
	"slices"
	"time"

	"github.com/secondbit/pastry/pb"
	"github.com/secondbit/pastry/ring"
)

// do carries out a task.
func (n *node) do(t Task) {
	done := func(ok bool) {
		n.tasks--
		n.policy.Done(n.w.now, t, ok)
		n.pump()
	}
	began := n.w.now
	switch t.Kind {
	case TaskSync:
		n.reconcile(NewSession(t.Arcs...), t.Peers[0], true, true, done)
	case TaskHand:
		before, left, all := n.held(t), len(t.Peers), true
		for _, p := range t.Peers {
			n.reconcile(NewSession(t.Arcs...), p, false, true, func(ok bool) {
				if left, all = left-1, all && ok; left == 0 {
					n.drop(t, began, before, all, done)
				}
			})
		}
	case TaskPush:
		before := n.held(t)
		left, acked := len(before), []Entry(nil)
		for _, e := range before {
			n.write(e, func(ok bool) {
				if left--; ok && !n.isRoot(e.ID.Key) {
					acked = append(acked, e)
				}
				if left == 0 {
					n.drop(t, began, acked, true, func(bool) { done(len(acked) == len(before)) })
				}
			})
		}
	}
}

// isRoot reports whether what this node writes may come back to it.
func (n *node) isRoot(key ring.ID) bool {
	return n.member && closest(n.w.ids(n.part), key, 1)[0] == n.id
}

func (n *node) held(t Task) []Entry {
	var es []Entry
	n.x.Ascend(t.Arcs[0], func(e Entry) bool { es = append(es, e); return true })
	if len(es) == 0 {
		n.w.faultf("nothing to %v", t.Kind)
	}
	return es
}

// reconcile runs a session; ok is whether all went well so far.
func (n *node) reconcile(s *Session, peer ring.ID, both, ok bool, done func(ok bool)) {
	arcs := s.Next(n.x)
	if len(arcs) == 0 {
		done(ok)
		return
	}
	n.call(peer, func(p *node) any { return p.compare(arcs) }, func(a any) {
		verdicts, heard := a.([]*pb.Verdict)
		if !heard {
			done(false)
			return
		}
		if err := s.Answer(n.x, verdicts); err != nil {
			n.w.faultf("%v", err)
			done(false)
			return
		}
		n.exchange(s, peer, both, func(good bool) { n.reconcile(s, peer, both, ok && good, done) })
	})
}

// exchange fetches and sends what the last answer showed.
func (n *node) exchange(s *Session, peer ring.ID, both bool, done func(ok bool)) {
	send := func() {
		es := n.fetch(s.TakeSurplus(n.x))
		if len(es) == 0 {
			done(true)
			return
		}
		n.w.counts.sent += len(es)
		n.call(peer, func(p *node) any { return p.store(es) }, func(a any) {
			refused, heard := a.([]ID)
			done(heard && len(refused) == 0)
		})
	}
	var ids []ID
	for _, i := range s.TakeLacking() {
		ids = append(ids, i.ID)
	}
	if !both || len(ids) == 0 {
		send()
		return
	}
	n.w.counts.fetched += len(ids)
	n.call(peer, func(p *node) any { return p.fetch(ids) }, func(a any) {
		es, heard := a.([]Entry)
		for _, e := range es {
			n.put(e)
		}
		if heard {
			send()
		} else {
			done(false)
		}
	})
}

// drop drops what was handed over since a time, if that is still right.
func (n *node) drop(t Task, began time.Time, es []Entry, ok bool, done func(bool)) {
	if !ok || !n.policy.MayDrop(t) {
		if ok {
			n.w.counts.refused++
		}
		done(ok)
		return
	}
	n.w.after(n.w.upTo(time.Second), func() {
		if !n.up {
			return
		}
		crashed := !slices.ContainsFunc(t.Peers, func(p ring.ID) bool { return !began.Before(n.w.crashed[p]) })
		for _, e := range es {
			if now, held := n.x.Get(e.ID); held && now.Version == e.Version {
				n.x.Delete(e.ID)
				n.w.counts.dropped++
				n.w.checkHeld(e.ID, crashed && t.Kind == TaskHand)
			}
		}
		done(true)
	})
}

// write sends a record to the root of its key, which stores it on its replicas
// and acknowledges it when a majority has it. The writer gives up after a while.
func (n *node) write(e Entry, heard func(ok bool)) {
	w, over := n.w, false
	done := func(ok bool) {
		if !over && n.up {
			over = true
			heard(ok)
		}
	}
	w.after(5*time.Second, func() { done(false) })
	roots := closest(w.ids(n.part), e.ID.Key, 1)
	if len(roots) == 0 {
		done(false)
		return
	}
	n.call(roots[0], func(root *node) any { return root }, func(a any) {
		if root, ok := a.(*node); ok && root.up {
			root.replicate(e, done)
		} else {
			done(false)
		}
	})
}

func (n *node) replicate(e Entry, done func(ok bool)) {
	view := n.policy.members.view
	places, ok := view.AppendReplicas(nil, e.ID.Key, n.w.replicas)
	if !ok || !slices.Contains(places, view.Index(n.id)) || !n.policy.Accepts(e.ID.Key) {
		done(false)
		return
	}
	n.put(e)
	stored, left, need := 1, len(places), len(places)/2+1
	heard := func(ok bool) {
		if left--; ok {
			stored++
		}
		if ok && stored == need || left == 0 && need == 1 {
			n.w.acked[e.ID] = max(n.w.acked[e.ID], e.Version)
			done(true)
		} else if left == 0 && stored < need {
			done(false)
		}
	}
	for _, place := range places {
		p := view.IDs[place]
		if p == n.id {
			n.w.after(0, func() { heard(false) })
			continue
		}
		n.call(p, func(p *node) any { return p.store([]Entry{e}) }, func(a any) {
			refused, ok := a.([]ID)
			if ok = ok && len(refused) == 0; !ok {
				n.policy.Doubt(n.w.now, p)
				n.pump()
			}
			heard(ok)
		})
	}
}
