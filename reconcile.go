package pastry

import (
	"context"
	"errors"
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
		_, err := u.reconcile(ctx, t.Peers[0], t.Arcs, true)
		return err
	case records.TaskHand:
		return u.hand(ctx, t)
	case records.TaskPush:
		return u.push(ctx, t)
	}
	return fmt.Errorf("task of kind %d", t.Kind)
}

// reconcile makes a member and this node hold the same records in some arcs. With
// both unset, only the other is given what it lacks. It returns the records that
// the other refuses.
func (u *upkeep) reconcile(ctx context.Context, id ring.ID, arcs []records.Arc, both bool) (refused []records.ID, err error) {
	p, ok := u.peer(id)
	if !ok {
		return nil, fmt.Errorf("%s is out of sight", id.Short())
	}
	session := records.NewSession(arcs...)
	for {
		var ask []*pb.Arc
		u.k.held.View(func(x *records.Index) { ask = session.Next(x) })
		if len(ask) == 0 {
			return refused, nil
		}
		reply, err := u.ask(ctx, p, compareCall(ask))
		if err != nil {
			return nil, err
		}
		body := reply.GetCompare()
		if body == nil {
			return nil, errNoBody
		}
		u.k.held.View(func(x *records.Index) { err = session.Answer(x, body.Verdicts) })
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
		}
		if lacking := session.TakeLacking(); both {
			if err := u.fetch(ctx, p, lacking); err != nil {
				return nil, err
			}
		}
		var surplus []records.ID
		u.k.held.View(func(x *records.Index) { surplus = session.TakeSurplus(x) })
		some, err := u.send(ctx, p, surplus)
		if err != nil {
			return nil, err
		}
		refused = append(refused, some...)
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

// send gives records to a member, and returns those that it refuses, since it
// takes them for invalid or has no room. A better one that it holds instead is no
// refusal. That it is not the one to hold them is an error.
func (u *upkeep) send(ctx context.Context, p peer.ID, ids []records.ID) (refused []records.ID, err error) {
	for len(ids) > 0 {
		some := ids[:min(len(ids), 256)]
		rs, err := u.k.held.Fetch(ctx, wallTime(), some)
		if err != nil {
			return nil, err
		}
		ids = ids[len(some):]
		for len(rs) > 0 {
			call, err := u.storeSome(ctx, rs)
			if err != nil {
				return nil, err
			}
			reply, err := u.ask(ctx, p, call)
			if err != nil {
				return nil, err
			}
			outcomes, err := outcomesOf(reply, call.GetStore())
			if err != nil {
				return nil, err
			}
			for i, o := range outcomes {
				switch err := refusal(o); err {
				case nil:
				case errElsewhere:
					return nil, err
				default:
					refused = append(refused, rs[i].ID())
				}
			}
			u.k.counts.moved(outcomes, &u.k.counts.given)
			rs = rs[len(outcomes):]
		}
	}
	return refused, nil
}

// storeSome returns a call to store as many of the first of some records as fit.
func (u *upkeep) storeSome(ctx context.Context, rs []*records.Record) (*pb.RecordCall, error) {
	pack := newPacker(chunkSize)
	packed, err := u.k.pack(ctx, pack, rs)
	if err == nil && packed == 0 {
		err = ErrRecordTooLarge
	}
	return storeCall(&pb.StoreCall{Records: pack.records, Peers: pack.peers}), err
}

// outcomesOf returns what became of each of the records in a call.
func outcomesOf(reply *pb.RecordReply, call *pb.StoreCall) ([]pb.RecordOutcome, error) {
	outcomes := reply.GetStore().GetOutcomes()
	if len(outcomes) != len(call.Records) {
		return nil, errNoBody
	}
	return outcomes, nil
}

// refusal returns why a record is not held where it was sent, nil if it is, or if
// a better one is, or it has expired; errElsewhere if it is not for that member, or
// not now.
func refusal(o pb.RecordOutcome) error {
	switch o {
	case pb.RecordOutcome_RECORD_OUTCOME_STALE, pb.RecordOutcome_RECORD_OUTCOME_EXPIRED:
		return nil
	case pb.RecordOutcome_RECORD_OUTCOME_ELSEWHERE, pb.RecordOutcome_RECORD_OUTCOME_TOO_FEW:
		return errElsewhere
	}
	return records.OutcomeError(o)
}

// hand gives the records of an arc, of which this node is no replica, to those
// who are, and drops those that all of them have. What one refuses stays; it keeps
// no other from being handed on.
func (u *upkeep) hand(ctx context.Context, t records.Task) error {
	items := u.items(t.Arcs)
	var refused []records.ID
	for _, id := range t.Peers {
		some, err := u.reconcile(ctx, id, t.Arcs, false)
		if err != nil {
			return err
		}
		refused = append(refused, some...)
	}
	return errors.Join(u.drop(ctx, t, without(items, refused)), stuck(refused))
}

// without returns the items that are not of some records.
func without(items []records.Item, ids []records.ID) []records.Item {
	return slices.DeleteFunc(items, func(it records.Item) bool { return slices.Contains(ids, it.ID) })
}

// stuck returns the error for a task that could not hand on some records.
func stuck(refused []records.ID) error {
	if len(refused) == 0 {
		return nil
	}
	return fmt.Errorf("%d records are refused", len(refused))
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
// that have been. What a root refuses stays.
func (u *upkeep) push(ctx context.Context, t records.Task) error {
	var refused []records.ID
	for items := u.items(t.Arcs); len(items) > 0; {
		some := items[:min(len(items), 256)]
		done, not, err := u.pushSome(ctx, some)
		if err != nil {
			return err
		}
		if err := u.drop(ctx, t, without(slices.Clone(some[:done]), not)); err != nil {
			return err
		}
		refused = append(refused, not...)
		items = items[done:]
	}
	return stuck(refused)
}

// pushSome pushes what one root deals with of some records, in the order of the
// ring. It returns how many these are, and which of them are refused.
func (u *upkeep) pushSome(ctx context.Context, items []records.Item) (done int, refused []records.ID, err error) {
	ids := make([]records.ID, len(items))
	for i, it := range items {
		ids[i] = it.ID
	}
	rs, err := u.k.held.Fetch(ctx, wallTime(), ids)
	if err != nil || len(rs) == 0 {
		return len(items), nil, err
	}
	call, err := u.storeSome(ctx, rs)
	if err != nil {
		return 0, nil, err
	}
	outcomes, err := u.pushTo(ctx, rs[0].ID().Key, call)
	if err != nil {
		return 0, nil, err
	}
	end := slices.IndexFunc(outcomes, func(o pb.RecordOutcome) bool { return refusal(o) == errElsewhere })
	switch end {
	case 0:
		return 0, nil, errElsewhere
	case -1:
		end = len(outcomes)
	}
	for i, o := range outcomes[:end] {
		if refusal(o) != nil {
			refused = append(refused, rs[i].ID())
		}
	}
	u.k.counts.moved(outcomes[:end], &u.k.counts.given)
	if end < len(rs) {
		return slices.Index(ids, rs[end].ID()), refused, nil
	}
	return len(items), refused, nil
}

// pushTo has the root of a key, which must be another node, store records.
func (u *upkeep) pushTo(ctx context.Context, key ring.ID, call *pb.RecordCall) ([]pb.RecordOutcome, error) {
	size := proto.Size(call)
	if err := u.quota.WaitN(ctx, min(size, upkeepBurst)); err != nil {
		return nil, err
	}
	u.k.counts.repairSent.Add(uint64(size))
	reply, receipt, err := u.k.n.askRoot(ctx, key, call)
	if err != nil {
		return nil, err
	}
	if receipt.Root == u.k.n.host.ID() {
		return nil, errElsewhere
	}
	return outcomesOf(reply, call.GetStore())
}
