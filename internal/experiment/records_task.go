package experiment

import (
	"slices"

	"github.com/secondbit/pastry/internal/records"
	"github.com/secondbit/pastry/pb"
	"github.com/secondbit/pastry/ring"
)

const (
	chunkSize = records.ReplyRoom / 2
	overhead  = 32 // more than a record takes beside its bytes
)

// carryOut does what the policy asks for, and calls done with whether all of it
// is done.
func (k *keeper) carryOut(t records.Task, done func(ok bool)) {
	switch t.Kind {
	case records.TaskSync:
		k.reconcile(t.Peers[0], t.Arcs, true, done)
	case records.TaskHand:
		k.hand(t, k.entries(t.Arcs), t.Peers, done)
	case records.TaskPush:
		k.push(t, k.entries(t.Arcs), done)
	}
}

// entries lists what is held in some arcs.
func (k *keeper) entries(arcs []records.Arc) []records.Entry {
	var es []records.Entry
	for _, a := range arcs {
		k.held.Ascend(a, func(e records.Entry) bool {
			es = append(es, e)
			return true
		})
	}
	return es
}

// reconcile makes a member and this one hold the same records in some arcs. With
// both unset, only the other is given what it lacks.
func (k *keeper) reconcile(to ring.ID, arcs []records.Arc, both bool, done func(ok bool)) {
	if k.seen.Index(to) < 0 {
		done(false)
		return
	}
	k.compare(records.NewSession(arcs...), to, both, done)
}

// compare takes the next step of a session.
func (k *keeper) compare(s *records.Session, to ring.ID, both bool, done func(ok bool)) {
	ask := s.Next(&k.held)
	if len(ask) == 0 {
		done(true)
		return
	}
	k.askMember(to, compareCall(ask), forRepair, func(r *pb.RecordReply) {
		body := r.GetCompare()
		if body == nil {
			done(false)
			return
		}
		if err := s.Answer(&k.held, body.Verdicts); err != nil {
			k.a.fault("node %d compares with %v: %v", k.node, to, err)
			done(false)
			return
		}
		k.exchange(s, to, both, func(ok bool) {
			if !ok {
				done(false)
				return
			}
			k.compare(s, to, both, done)
		})
	})
}

// exchange fetches and sends what the last answer showed.
func (k *keeper) exchange(s *records.Session, to ring.ID, both bool, done func(ok bool)) {
	send := func() { k.give(to, s.TakeSurplus(&k.held), done) }
	lacking := s.TakeLacking()
	if !both {
		send()
		return
	}
	k.fetch(to, lacking, func(ok bool) {
		if ok {
			send()
		} else {
			done(false)
		}
	})
}

// fetch gets records from a member and takes them in.
func (k *keeper) fetch(to ring.ID, items []records.Item, done func(ok bool)) {
	if len(items) == 0 {
		done(true)
		return
	}
	some := items[:min(len(items), records.MaxFetched)]
	ids := make([]byte, 0, len(some)*records.IDSize)
	for _, it := range some {
		ids, _ = it.ID.AppendBinary(ids)
	}
	k.askMember(to, fetchCall(ids), forRepair, func(r *pb.RecordReply) {
		got := r.GetFetch()
		if got == nil || got.Done == 0 || int(got.Done) > len(some) {
			done(false)
			return
		}
		for _, rec := range got.Records {
			k.put(rec, forRepair)
		}
		k.a.postage.fetched += uint64(len(got.Records))
		k.fetch(to, items[got.Done:], done)
	})
}

// give sends records to a member, which must take all of them.
func (k *keeper) give(to ring.ID, ids []records.ID, done func(ok bool)) {
	var rs []*pb.Record
	n := 0
	for room := chunkSize; n < len(ids); n++ {
		e, held := k.held.Get(ids[n])
		if !held {
			continue
		}
		r := k.a.records[e.Tag].wire
		if room -= len(r.Data) + overhead; room < 0 && len(rs) > 0 {
			break
		}
		rs = append(rs, r)
	}
	if len(rs) == 0 {
		done(true)
		return
	}
	k.askMember(to, storeCall(rs), forRepair, func(r *pb.RecordReply) {
		outcomes := r.GetStore().GetOutcomes()
		if len(outcomes) != len(rs) || slices.ContainsFunc(outcomes, refused) {
			done(false)
			return
		}
		k.a.postage.given += uint64(len(rs))
		k.give(to, ids[n:], done)
	})
}

func refused(o pb.RecordOutcome) bool { return o != pb.RecordOutcome_RECORD_OUTCOME_OK }

// hand gives records of which this member is no replica to each of those who
// are, one after the other, and drops them when all of those have them.
func (k *keeper) hand(t records.Task, es []records.Entry, peers []ring.ID, done func(ok bool)) {
	if len(peers) == 0 {
		done(k.release(t, es))
		return
	}
	k.reconcile(peers[0], t.Arcs, false, func(ok bool) {
		if !ok {
			done(false)
			return
		}
		k.hand(t, es, peers[1:], done)
	})
}

// release drops records that others hold, unless the ring has changed meanwhile
// so that this member is to keep them. One that leaves keeps them to its end.
func (k *keeper) release(t records.Task, es []records.Entry) bool {
	k.look()
	if allowed := k.policy.MayDrop(t); k.leaving {
		return true
	} else if !allowed {
		return false
	}
	for _, e := range es {
		k.drop(e)
	}
	k.a.postage.dropped += uint64(len(es))
	return true
}

// push has the roots of records that are out of sight store them, one after the
// other, and drops those that have been.
func (k *keeper) push(t records.Task, es []records.Entry, done func(ok bool)) {
	if len(es) == 0 {
		done(true)
		return
	}
	e := es[0]
	k.a.askRoot(k.node, e.ID.Key, storeCall([]*pb.Record{k.a.records[e.Tag].wire}), forRepair, func(r *pb.RecordReply, root ring.ID) {
		outcomes := r.GetStore().GetOutcomes()
		if len(outcomes) != 1 || refused(outcomes[0]) || root == k.id || !k.release(t, es[:1]) {
			done(false)
			return
		}
		k.a.postage.given++
		k.push(t, es[1:], done)
	})
}
