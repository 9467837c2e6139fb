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

// ErrUnsure is wrapped by the error of a look-up that found nothing, when too few of
// the members that should hold a record could be heard to say that there is none.
var ErrUnsure = errors.New("pastry: too few replicas can be heard to be sure that there is nothing")

var errElsewhere = errors.New("the member does not hold these records")

// find answers with the records of a name: at their root for the whole replica
// set, and otherwise with what is held here.
func (k *keeper) find(ctx context.Context, m *Message, call *pb.FindCall) (*pb.FindReply, error) {
	if err := checkFind(call); err != nil {
		return nil, err
	}
	key := ring.FromKey(call.Name)
	switch {
	case call.Type == pb.RecordType_RECORD_TYPE_PEER && string(call.Name) == string(k.n.host.ID()):
		return k.self()
	case m.Direct:
		reply, err := k.findHere(ctx, call)
		if err == nil {
			reply.Heard, reply.Complete = 1, k.upkeep.complete(key)
		}
		return reply, err
	case m.Key == key:
		return k.findForAll(ctx, key, call)
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

// self answers a look-up of this node's own peer, with a record of this moment.
func (k *keeper) self() (*pb.FindReply, error) {
	sealed, err := k.n.sealOwn()
	if err != nil {
		return nil, err
	}
	return &pb.FindReply{Records: []*pb.Record{{Type: pb.RecordType_RECORD_TYPE_PEER, Data: sealed}}, Total: 1, Heard: 1, Complete: true}, nil
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
// something, answers at once. Any other hears others first, see gather; it says
// that there is nothing only when that is sure.
func (k *keeper) findForAll(ctx context.Context, key ring.ID, call *pb.FindCall) (*pb.FindReply, error) {
	s := k.n.sight.Load()
	set, ok := s.replicas(key, k.n.opts.replication)
	if !ok {
		return nil, ErrNotActive
	}
	complete := k.upkeep.complete(key)
	if call.Quorum <= 1 && complete {
		reply, err := k.findHere(ctx, call)
		if err != nil || reply.Total > 0 {
			return heardOf(reply, 1, complete), err
		}
	}
	g, err := k.gather(ctx, set, s.count(k.n.opts.replication), complete, call)
	if err != nil {
		return nil, err
	}
	reply, err := k.findHere(ctx, call)
	if err != nil {
		return nil, err
	}
	if k.saysMore(call, g.unkept, reply) {
		reply = page(g.unkept, call)
	}
	if reply.Total == 0 && !g.sure {
		return nil, ErrUnsure
	}
	return heardOf(reply, g.heard, g.sure), nil
}

func heardOf(reply *pb.FindReply, heard int, complete bool) *pb.FindReply {
	if reply != nil {
		reply.Heard, reply.Complete = uint32(heard), complete
	}
	return reply
}
