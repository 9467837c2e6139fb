package pastry

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/secondbit/pastry/pb"
	"github.com/secondbit/pastry/ring"
)

// leastHedge is the least time that the nearest replica is given before the root
// is asked as well.
const leastHedge = 50 * time.Millisecond

// readNear asks the replica of a key with the least round trip, if this node sees
// the whole replica set. It returns no reply when the root is to be asked: that
// replica has nothing to say, is not sure, or does not answer soon.
func (n *Node) readNear(ctx context.Context, key ring.ID, call *pb.FindCall) (peer.ID, *pb.FindReply) {
	p, rtt, ok := n.nearestReplica(key)
	if !ok {
		return "", nil
	}
	reply := n.readAt(ctx, p, rtt, call)
	if reply != nil {
		n.keeper.counts.reads[readReplica].Add(1)
	}
	return p, reply
}

// readRoot asks the root of key, which speaks for the replica set.
func (n *Node) readRoot(ctx context.Context, key ring.ID, call *pb.FindCall) (*pb.FindReply, error) {
	n.keeper.counts.reads[readRoot].Add(1)
	hop := n.host.ID()
	if next, ok := n.NextHop(key); ok {
		hop = next
	}
	n.tellSending(ctx, hop)
	reply, _, err := n.askRoot(ctx, key, findCall(call))
	n.tellAnswer(ctx, hop, err)
	if app := (*AppError)(nil); errors.As(err, &app) {
		return nil, fmt.Errorf("%w: %w", ErrUnsure, err)
	}
	if err != nil {
		return nil, err
	}
	if found := reply.GetFind(); found != nil {
		return found, nil
	}
	return nil, fmt.Errorf("%w: %w", ErrMalformed, errNoBody)
}

// readAt asks one replica, and returns its answer if it can be relied on.
func (n *Node) readAt(ctx context.Context, p peer.ID, rtt time.Duration, call *pb.FindCall) *pb.FindReply {
	soon, cancel := context.WithTimeout(ctx, max(leastHedge, 4*rtt))
	defer cancel()
	n.tellSending(ctx, p)
	reply, err := n.askMember(soon, p, findCall(call))
	n.tellAnswer(ctx, p, err)
	found := reply.GetFind()
	if err != nil || found == nil || !found.Complete || len(found.Records) == 0 {
		return nil
	}
	return found
}

// nearestReplica returns the replica of a key with the least round trip, this
// node apart. It reports false when this node does not see the replica set, has
// never measured any of them, or the nearest is the root itself.
func (n *Node) nearestReplica(key ring.ID) (p peer.ID, rtt time.Duration, ok bool) {
	set, ok := n.sight.Load().replicas(key, n.opts.replication)
	if !ok {
		return "", 0, false
	}
	at := -1
	if n.do(n.ctx, func(r *RawNode) {
		for i, q := range set {
			if t := r.RTT(ring.FromPeer(q)); q != n.host.ID() && t > 0 && (at < 0 || t < rtt) {
				at, rtt = i, t
			}
		}
	}) != nil || at <= 0 {
		return "", 0, false
	}
	return set[at], rtt, true
}
