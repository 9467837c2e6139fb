package pastry

import (
	"context"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/secondbit/pastry/pb"
)

const maxPages = 8 // of a replica's providers of one content

// heardReply is what one replica has said, nil if nothing.
type heardReply struct {
	peer  peer.ID
	reply *pb.FindReply
}

// gather asks the other members of a replica set, which has so many in all, for
// what they hold, all at once, and takes it in. It returns how many were heard, this node included, and
// whether that is enough to say what there is: a majority, one of them complete,
// or all. Having heard that, and as many as the call wants, it waits for no more.
// Replicas that are found to hold an older value than the best get that.
func (k *keeper) gather(ctx context.Context, set []peer.ID, of int, complete bool, call *pb.FindCall) (heard int, sure bool, err error) {
	results := make(chan heardReply, len(set))
	asked := 0
	for _, p := range set {
		if p != k.n.host.ID() {
			asked++
			k.n.spawn(func() { results <- heardReply{p, k.hear(ctx, p, call)} })
		}
	}
	majority := of/2 + 1
	want := max(majority, min(int(call.Quorum), of))
	heard, held := 1, make(map[peer.ID][]byte) // who holds which value
	for range asked {
		if heard >= want && complete {
			break
		}
		select {
		case h := <-results:
			if h.reply == nil {
				continue
			}
			heard++
			complete = complete || h.reply.Complete
			held[h.peer] = nil
			if len(h.reply.Records) == 1 {
				held[h.peer] = h.reply.Records[0].Data
			}
		case <-ctx.Done():
			return heard, false, ctx.Err()
		case <-k.n.stop:
			return heard, false, ErrClosed
		}
	}
	if call.Type != pb.RecordType_RECORD_TYPE_PROVIDER {
		k.writeBack(call, held)
	}
	return heard, heard >= majority && complete || heard == of, nil
}

// hear asks one replica, and takes in what it holds. Of many providers it gets
// page after page.
func (k *keeper) hear(ctx context.Context, p peer.ID, call *pb.FindCall) *pb.FindReply {
	select {
	case k.calls <- struct{}{}:
		defer func() { <-k.calls }()
	case <-ctx.Done():
		return nil
	}
	ask := &pb.FindCall{Type: call.Type, Name: call.Name, Limit: maxProviders}
	var found *pb.FindReply
	for range maxPages {
		reply, err := k.n.askMember(k.n.ctx, p, findCall(ask))
		found = reply.GetFind()
		if err != nil || found == nil {
			log.Debugw("replica did not answer", "peer", p, "err", err)
			return nil
		}
		k.takeIn(k.n.ctx, call, found)
		ask.Offset += uint32(len(found.Records))
		if len(found.Records) == 0 || ask.Offset >= found.Total {
			return found
		}
	}
	found.Complete = false // there is more
	return found
}

// takeIn stores what a replica holds, if it verifies and is about what was asked
// for.
func (k *keeper) takeIn(ctx context.Context, call *pb.FindCall, found *pb.FindReply) {
	b := k.openBatch(found.Records, found.Peers)
	for i, r := range b.opened {
		if r != nil && (uint8(call.Type) != uint8(r.Type) || string(r.Name) != string(call.Name)) {
			b.refuse(i, pb.RecordOutcome_RECORD_OUTCOME_FORGED)
			k.counts.refused(ErrRecordForged)
		}
	}
	k.put(ctx, b)
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
			if _, err := k.storeAt(k.n.ctx, p, &pb.StoreCall{Records: best.Records}); err != nil {
				log.Debugw("value not written back", "peer", p, "err", err)
				return
			}
			k.counts.writtenBack.Add(1)
		})
	}
}
