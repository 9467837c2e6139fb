package pastry

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/proto"

	"github.com/secondbit/pastry/internal/records"
	"github.com/secondbit/pastry/pb"
	"github.com/secondbit/pastry/ring"
)

// carryOut does what the policy asks for. It returns nil only when all of it is
// done.
func (u *upkeep) carryOut(ctx context.Context, t records.Task) error {
	switch t.Kind {
	case records.TaskSync:
		return u.reconcile(ctx, t.Peers[0], t.Arcs, true)
	case records.TaskHand:
		return u.hand(ctx, t)
	case records.TaskPush:
		return u.push(ctx, t)
	}
	return fmt.Errorf("task of kind %d", t.Kind)
}

// reconcile makes a member and this node hold the same records in some arcs. With
// both unset, only the other is given what it lacks.
func (u *upkeep) reconcile(ctx context.Context, id ring.ID, arcs []records.Arc, both bool) error {
	p, ok := u.peer(id)
	if !ok {
		return fmt.Errorf("%s is out of sight", id.Short())
	}
	session := records.NewSession(arcs...)
	for {
		var ask []*pb.Arc
		u.k.held.View(func(x *records.Index) { ask = session.Next(x) })
		if len(ask) == 0 {
			return nil
		}
		reply, err := u.ask(ctx, p, compareCall(ask))
		if err != nil {
			return err
		}
		body := reply.GetCompare()
		if body == nil {
			return errNoBody
		}
		u.k.held.View(func(x *records.Index) { err = session.Answer(x, body.Verdicts) })
		if err != nil {
			return fmt.Errorf("%w: %w", ErrMalformed, err)
		}
		if lacking := session.TakeLacking(); both {
			if err := u.fetch(ctx, p, lacking); err != nil {
				return err
			}
		}
		var surplus []records.ID
		u.k.held.View(func(x *records.Index) { surplus = session.TakeSurplus(x) })
		if err := u.send(ctx, p, surplus, !both); err != nil {
			return err
		}
	}
}

// ask sends a call to a member when the quota allows, and counts both ways.
func (u *upkeep) ask(ctx context.Context, p peer.ID, call *pb.RecordCall) (*pb.RecordReply, error) {
	out := proto.Size(call)
	if err := u.quota.WaitN(ctx, min(out, upkeepBurst)); err != nil {
		return nil, err
	}
	reply, err := u.k.n.askMember(ctx, p, call)
	if err != nil {
		return nil, err
	}
	in := proto.Size(reply)
	u.k.counts.repairSent.Add(uint64(out))
	u.k.counts.repairReceived.Add(uint64(in))
	u.spend(in)
	return reply, nil
}

// spend takes bytes that have come, or must go, off the quota: what is next waits
// for them.
func (u *upkeep) spend(bytes int) { u.quota.ReserveN(time.Now(), min(bytes, upkeepBurst)) }

// fetch gets records from a member and takes them in.
func (u *upkeep) fetch(ctx context.Context, p peer.ID, items []records.Item) error {
	for len(items) > 0 {
		some := items[:min(len(items), maxFetched)]
		b := make([]byte, 0, len(some)*records.IDSize)
		for _, it := range some {
			b, _ = it.ID.AppendBinary(b)
		}
		reply, err := u.ask(ctx, p, fetchCall(b))
		if err != nil {
			return err
		}
		got := reply.GetFetch()
		if got == nil || got.Done == 0 || int(got.Done) > len(some) {
			return errNoBody
		}
		in := u.k.openBatch(got.Records, got.Peers)
		u.k.put(ctx, in)
		if slices.Contains(in.outcomes, pb.RecordOutcome_RECORD_OUTCOME_FULL) {
			return ErrRecordFull
		}
		u.k.counts.moved(in.outcomes, &u.k.counts.fetched)
		items = items[got.Done:]
	}
	return nil
}

// send gives records to a member. That it refuses one, because it has a better
// one, takes it for invalid or has no room, is no failure, except that it must
// have room when all are wanted there.
func (u *upkeep) send(ctx context.Context, p peer.ID, ids []records.ID, all bool) error {
	for len(ids) > 0 {
		some := ids[:min(len(ids), 256)]
		rs, err := u.k.held.Fetch(ctx, wallTime(), some)
		if err != nil {
			return err
		}
		ids = ids[len(some):]
		for len(rs) > 0 {
			pack := newPacker(chunkSize)
			packed, err := u.k.pack(ctx, pack, rs)
			if err == nil && packed == 0 {
				err = ErrRecordTooLarge
			}
			if err != nil {
				return err
			}
			call := &pb.StoreCall{Records: pack.records, Peers: pack.peers}
			reply, err := u.ask(ctx, p, storeCall(call))
			if err != nil {
				return err
			}
			outcomes := reply.GetStore().GetOutcomes()
			if len(outcomes) != packed {
				return errNoBody
			}
			if err := taken(outcomes, all); err != nil {
				return err
			}
			u.k.counts.moved(outcomes, &u.k.counts.given)
			rs = rs[packed:]
		}
	}
	return nil
}

// taken returns an error if a member did not take in a record because it is not
// the one to hold it; if all must be held there, also for any other reason but
// that it has a better one or that the record has expired.
func taken(outcomes []pb.RecordOutcome, all bool) error {
	for _, o := range outcomes {
		switch o {
		case pb.RecordOutcome_RECORD_OUTCOME_OK, pb.RecordOutcome_RECORD_OUTCOME_STALE, pb.RecordOutcome_RECORD_OUTCOME_EXPIRED:
		case pb.RecordOutcome_RECORD_OUTCOME_ELSEWHERE, pb.RecordOutcome_RECORD_OUTCOME_TOO_FEW:
			return errElsewhere
		default:
			if all {
				return records.OutcomeError(o)
			}
		}
	}
	return nil
}

// hand gives the records of an arc, of which this node is no replica, to those
// who are, and drops them when all of those have them.
func (u *upkeep) hand(ctx context.Context, t records.Task) error {
	items := u.items(t.Arcs)
	for _, id := range t.Peers {
		if err := u.reconcile(ctx, id, t.Arcs, false); err != nil {
			return err
		}
	}
	return u.drop(ctx, t, items)
}

// items lists what is held in some arcs.
func (u *upkeep) items(arcs []records.Arc) []records.Item {
	var items []records.Item
	u.k.held.View(func(x *records.Index) {
		for _, a := range arcs {
			x.Ascend(a, func(e records.Entry) bool {
				items = append(items, records.Item{ID: e.ID, Version: e.Version})
				return true
			})
		}
	})
	return items
}

// drop removes records that others hold, unless the ring has changed meanwhile so
// that this node is to keep them.
func (u *upkeep) drop(ctx context.Context, t records.Task, items []records.Item) error {
	u.look()
	u.mu.Lock()
	allowed, leaving := u.policy.MayDrop(t), u.leaving
	u.mu.Unlock()
	if leaving { // the store may be opened again
		return nil
	}
	if !allowed {
		return fmt.Errorf("the ring has changed")
	}
	u.k.counts.dropped.Add(uint64(len(items)))
	return u.k.held.Drop(ctx, items)
}

// push has the roots of records that are out of sight store them, and drops those
// that have been.
func (u *upkeep) push(ctx context.Context, t records.Task) error {
	items := u.items(t.Arcs)
	for len(items) > 0 {
		some := items[:min(len(items), 256)]
		done, err := u.pushSome(ctx, t, some)
		if err != nil {
			return err
		}
		items = items[done:]
	}
	return nil
}

// pushSome pushes what one root deals with of some records, in the order of the
// ring, and returns how many these are.
func (u *upkeep) pushSome(ctx context.Context, t records.Task, items []records.Item) (int, error) {
	ids := make([]records.ID, len(items))
	for i, it := range items {
		ids[i] = it.ID
	}
	rs, err := u.k.held.Fetch(ctx, wallTime(), ids)
	if err != nil || len(rs) == 0 {
		return len(items), err
	}
	pack := newPacker(chunkSize)
	packed, err := u.k.pack(ctx, pack, rs)
	if err == nil && packed == 0 {
		err = ErrRecordTooLarge
	}
	if err != nil {
		return 0, err
	}
	call := storeCall(&pb.StoreCall{Records: pack.records, Peers: pack.peers})
	if err := u.quota.WaitN(ctx, min(proto.Size(call), upkeepBurst)); err != nil {
		return 0, err
	}
	u.k.counts.repairSent.Add(uint64(proto.Size(call)))
	reply, receipt, err := u.k.n.askRoot(ctx, rs[0].ID().Key, call)
	if err != nil {
		return 0, err
	}
	if receipt.Root == u.k.n.host.ID() {
		return 0, errElsewhere
	}
	outcomes := reply.GetStore().GetOutcomes()
	if len(outcomes) != packed {
		return 0, errNoBody
	}
	done := packed // up to the first that another root deals with
	for i, o := range outcomes {
		if o == pb.RecordOutcome_RECORD_OUTCOME_ELSEWHERE {
			done = i
			break
		}
	}
	if done == 0 {
		return 0, errElsewhere
	}
	if err := taken(outcomes[:done], true); err != nil {
		return 0, err
	}
	upTo := len(items)
	if done < len(rs) {
		upTo = slices.Index(ids, rs[done].ID())
	}
	u.k.counts.moved(outcomes[:done], &u.k.counts.given)
	return upTo, u.drop(ctx, t, items[:upTo])
}
