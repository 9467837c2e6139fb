package pastry

import (
	"context"
	"errors"
	"fmt"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/secondbit/pastry/internal/records"
	"github.com/secondbit/pastry/pb"
	"github.com/secondbit/pastry/ring"
)

var (
	errElsewhere = errors.New("the member does not hold these records")
	errUnsure    = errors.New("too few replicas can be reached to be sure")
)

// find answers with the records of a name: at their root for the whole replica
// set, and otherwise with what is held here.
func (k *keeper) find(ctx context.Context, to ring.ID, call *pb.FindCall) (*pb.FindReply, error) {
	if err := checkFind(call); err != nil {
		return nil, err
	}
	key := ring.FromKey(call.Name)
	switch {
	case call.Type == pb.RecordType_RECORD_TYPE_PEER && string(call.Name) == string(k.n.host.ID()):
		return k.self(), nil
	case to == key:
		return k.findForAll(ctx, key, call)
	case to == k.n.ID():
		reply, err := k.findHere(ctx, call)
		if err == nil {
			reply.Heard, reply.Complete = 1, k.upkeep.complete(key)
		}
		return reply, err
	}
	return nil, fmt.Errorf("%w: records looked for at another key", ErrMalformed)
}

func checkFind(call *pb.FindCall) error {
	var err error
	switch call.Type {
	case pb.RecordType_RECORD_TYPE_PROVIDER:
		err = records.CheckMultihash(call.Name)
	case pb.RecordType_RECORD_TYPE_VALUE:
		if len(call.Name) == 0 || len(call.Name) > records.MaxName {
			err = fmt.Errorf("a key of %d bytes", len(call.Name))
		}
	case pb.RecordType_RECORD_TYPE_PEER:
		err = peer.ID(call.Name).Validate()
	default:
		err = fmt.Errorf("records of type %d", call.Type)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return nil
}

// self answers a look-up of this node's own peer.
func (k *keeper) self() *pb.FindReply {
	sealed := k.n.self.Load().Record
	return &pb.FindReply{Records: []*pb.Record{{Type: pb.RecordType_RECORD_TYPE_PEER, Data: sealed}}, Total: 1, Heard: 1, Complete: true}
}

// findHere answers with what is held here.
func (k *keeper) findHere(ctx context.Context, call *pb.FindCall) (*pb.FindReply, error) {
	now := wallTime()
	var rs []*records.Record
	var total int
	var err error
	switch call.Type {
	case pb.RecordType_RECORD_TYPE_PROVIDER:
		rs, total, err = k.held.Providers(ctx, now, call.Name, int(call.Offset), int(min(max(1, call.Limit), maxProviders)))
	case pb.RecordType_RECORD_TYPE_VALUE:
		rs, err = only(k.held.Value(ctx, now, string(call.Name)))
		total = len(rs)
	case pb.RecordType_RECORD_TYPE_PEER:
		rs, err = only(k.held.Peer(ctx, now, peer.ID(call.Name)))
		total = len(rs)
	}
	if err != nil {
		return nil, err
	}
	p := newPacker(replyRoom)
	if _, err := k.pack(ctx, p, rs); err != nil {
		return nil, err
	}
	return &pb.FindReply{Records: p.records, Peers: p.peers, Total: uint32(total)}, nil
}

func only(r *records.Record, err error) ([]*records.Record, error) {
	if r == nil || err != nil {
		return nil, err
	}
	return []*records.Record{r}, nil
}

// findForAll answers for the replica set. A root that is complete, and holds
// something, answers at once. Any other hears a majority first, and takes in what
// they hold; it says that there is nothing only when a majority has said so.
func (k *keeper) findForAll(ctx context.Context, key ring.ID, call *pb.FindCall) (*pb.FindReply, error) {
	set, ok := k.n.sight.Load().replicas(key, k.n.opts.replication)
	if !ok {
		return nil, ErrNotActive
	}
	complete := k.upkeep.complete(key)
	heard := 1
	if call.Quorum <= 1 && complete {
		reply, err := k.findHere(ctx, call)
		if err != nil || len(reply.Records) > 0 || reply.Total > 0 {
			return heardOf(reply, heard, complete), err
		}
	}
	majority := len(set)/2 + 1
	heard, err := k.gather(ctx, set, max(majority, min(int(call.Quorum), len(set))), call)
	if err != nil {
		return nil, err
	}
	reply, err := k.findHere(ctx, call)
	if err == nil && reply.Total == 0 && heard < majority {
		return nil, errUnsure
	}
	return heardOf(reply, heard, complete || heard >= majority), err
}

func heardOf(reply *pb.FindReply, heard int, complete bool) *pb.FindReply {
	if reply != nil {
		reply.Heard, reply.Complete = uint32(heard), complete
	}
	return reply
}

// gather asks the other members of a replica set for what they hold, all at
// once, and takes it in. It returns how many were heard, this node included: as
// many as are wanted, or fewer when all were tried. Replicas that are found to
// hold an older value than the best get that.
func (k *keeper) gather(ctx context.Context, set []peer.ID, want int, call *pb.FindCall) (int, error) {
	type heard struct {
		peer  peer.ID
		reply *pb.FindReply
	}
	ask := &pb.FindCall{Type: call.Type, Name: call.Name, Limit: maxProviders}
	results := make(chan heard, len(set))
	asked := 0
	for _, p := range set {
		if p == k.n.host.ID() {
			continue
		}
		asked++
		k.n.spawn(func() {
			select {
			case k.calls <- struct{}{}:
				defer func() { <-k.calls }()
			case <-ctx.Done():
				results <- heard{p, nil}
				return
			}
			reply, err := k.n.askMember(k.n.ctx, p, findCall(ask))
			if err != nil {
				log.Debugw("replica did not answer", "peer", p, "err", err)
			}
			found := reply.GetFind()
			if found != nil {
				k.takeIn(k.n.ctx, call, found)
			}
			results <- heard{p, found}
		})
	}
	count, held := 1, make(map[peer.ID][]byte) // who holds which value
	for range asked {
		if count >= want {
			break
		}
		select {
		case h := <-results:
			if h.reply == nil {
				continue
			}
			count++
			held[h.peer] = nil
			if len(h.reply.Records) == 1 {
				held[h.peer] = h.reply.Records[0].Data
			}
		case <-ctx.Done():
			return count, ctx.Err()
		case <-k.n.stop:
			return count, ErrClosed
		}
	}
	if call.Type != pb.RecordType_RECORD_TYPE_PROVIDER {
		k.writeBack(call, held)
	}
	return count, nil
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
