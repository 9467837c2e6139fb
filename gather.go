package pastry

import (
	"context"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/secondbit/pastry/internal/records"
	"github.com/secondbit/pastry/pb"
)

const maxPages = 8 // of a replica's providers of one content

// heardReply is what one replica has said, nil if nothing.
type heardReply struct {
	peer   peer.ID
	reply  *pb.FindReply
	unkept *pb.FindReply // what of it this node had no room for, nil if nothing
}

// gathered is what a replica set has said.
type gathered struct {
	heard  int           // how many members, this node included
	sure   bool          // they are enough to say what there is
	unkept *pb.FindReply // what one of them holds that found no room here, nil if nothing
}

// gather asks the other members of a replica set, which has so many in all, for
// what they hold, all at once, and takes it in. It is sure of what there is when
// it has heard a majority, one of them complete, or all. Having heard that, and as
// many as the call wants, it waits for no more. Replicas that are found to hold an
// older value than the best get that.
func (k *keeper) gather(ctx context.Context, set []peer.ID, of int, complete bool, call *pb.FindCall) (gathered, error) {
	results := make(chan heardReply, len(set))
	asked := 0
	for _, p := range set {
		if p != k.n.host.ID() {
			asked++
			k.n.spawn(func() { results <- k.hear(ctx, p, call) })
		}
	}
	majority := of/2 + 1
	want := max(majority, min(int(call.Quorum), of))
	g, held := gathered{heard: 1}, make(map[peer.ID][]byte) // who holds which value
	for range asked {
		if g.heard >= want && complete {
			break
		}
		select {
		case h := <-results:
			if h.reply == nil {
				continue
			}
			g.heard++
			if k.saysMore(call, h.unkept, g.unkept) {
				g.unkept = h.unkept
			}
			complete = complete || h.reply.Complete
			held[h.peer] = nil
			if len(h.reply.Records) == 1 {
				held[h.peer] = h.reply.Records[0].Data
			}
		case <-ctx.Done():
			return g, ctx.Err()
		case <-k.n.stop:
			return g, ErrClosed
		}
	}
	if call.Type != pb.RecordType_RECORD_TYPE_PROVIDER {
		k.writeBack(call, held)
	}
	g.sure = g.heard >= majority && complete || g.heard == of
	return g, nil
}

// hear asks one replica, and takes in what it holds. Of many providers it gets
// page after page.
func (k *keeper) hear(ctx context.Context, p peer.ID, call *pb.FindCall) heardReply {
	select {
	case k.calls <- struct{}{}:
		defer func() { <-k.calls }()
	case <-ctx.Done():
		return heardReply{peer: p}
	}
	ask := &pb.FindCall{Type: call.Type, Name: call.Name, Limit: maxProviders}
	h := heardReply{peer: p}
	for range maxPages {
		reply, err := k.n.askMember(k.n.ctx, p, findCall(ask))
		h.reply = reply.GetFind()
		if err != nil || h.reply == nil {
			log.Debugw("replica did not answer", "peer", p, "err", err)
			return heardReply{peer: p}
		}
		if unkept := k.takeIn(k.n.ctx, call, h.reply); h.unkept == nil {
			h.unkept = unkept
		}
		ask.Offset += uint32(len(h.reply.Records))
		if len(h.reply.Records) == 0 || ask.Offset >= h.reply.Total {
			return h
		}
	}
	h.reply.Complete = false // there is more
	return h
}

// takeIn stores what a replica holds, if it verifies and is about what was asked
// for. It returns what there was no room for, nil if that is nothing.
func (k *keeper) takeIn(ctx context.Context, call *pb.FindCall, found *pb.FindReply) *pb.FindReply {
	b := k.openBatch(found.Records, found.Peers)
	for i, r := range b.opened {
		if r != nil && (uint8(call.Type) != uint8(r.Type) || string(r.Name) != string(call.Name)) {
			b.refuse(i, pb.RecordOutcome_RECORD_OUTCOME_FORGED)
			k.counts.refused(ErrRecordForged)
		}
	}
	k.put(ctx, b)
	unkept := &pb.FindReply{Peers: found.Peers}
	for i, o := range b.outcomes {
		if o == pb.RecordOutcome_RECORD_OUTCOME_FULL {
			unkept.Records = append(unkept.Records, found.Records[i])
		}
	}
	if unkept.Total = uint32(len(unkept.Records)); unkept.Total == 0 {
		return nil
	}
	return unkept
}

// saysMore reports whether the first of two answers to a call, which may be nil,
// is worth more than the second: it has a better value, or more records.
func (k *keeper) saysMore(call *pb.FindCall, a, b *pb.FindReply) bool {
	if call.Type == pb.RecordType_RECORD_TYPE_VALUE && len(a.GetRecords()) == 1 && len(b.GetRecords()) == 1 {
		return k.better(string(call.Name), a.Records[0].Data, b.Records[0].Data)
	}
	return a.GetTotal() > b.GetTotal()
}

// page returns the part of an answer that a call asks for.
func page(all *pb.FindReply, call *pb.FindCall) *pb.FindReply {
	rs := all.Records[min(int(call.Offset), len(all.Records)):]
	return &pb.FindReply{Records: rs[:min(len(rs), max(1, int(call.Limit)))], Peers: all.Peers, Total: all.Total}
}

// writeBack sends the best value to the replicas that hold another or none.
func (k *keeper) writeBack(call *pb.FindCall, held map[peer.ID][]byte) {
	best, err := k.findHere(k.n.ctx, call)
	if err != nil || len(best.Records) != 1 {
		return
	}
	for p, data := range held {
		if string(data) == string(best.Records[0].Data) {
			continue
		}
		k.n.spawn(func() {
			if err := k.giveBack(k.n.ctx, p, best.Records[0]); err != nil {
				log.Debugw("value not written back", "peer", p, "err", err)
				return
			}
			k.counts.writtenBack.Add(1)
		})
	}
}

// giveBack has a member store one record. The error says why it has not.
func (k *keeper) giveBack(ctx context.Context, p peer.ID, r *pb.Record) error {
	outcomes, err := k.storeAt(ctx, p, &pb.StoreCall{Records: []*pb.Record{r}})
	if err != nil {
		return err
	}
	return records.OutcomeError(outcomes[0])
}
