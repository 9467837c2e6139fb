package pastry

import (
	"context"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/secondbit/pastry/ring"
)

// NextHop returns the neighbour to which this node would send a message for
// key. It reports false when the node is itself root of key, as far as it knows,
// or is not part of a ring. A key's root may have died since, or another member
// joined: the answer is a hint, and so are those of the other look-ups. They wait
// for the goroutine that routes, never for the network, and know nothing after
// Close.
func (n *Node) NextHop(key ring.ID) (next peer.ID, ok bool) {
	_ = n.do(n.ctx, func(r *RawNode) {
		var c Contact
		c, ok = r.NextHop(key, nil)
		next = c.Peer
	})
	return next, ok
}

// LocalLookup returns up to k different next hops for key from among the nodes
// this node knows: the one NextHop names, then the one it would name if that
// were gone, and so on. There are none at the root of key and after Close.
func (n *Node) LocalLookup(key ring.ID, k int) []peer.ID {
	var ps []peer.ID
	_ = n.do(n.ctx, func(r *RawNode) {
		skip := make(map[ring.ID]bool)
		for len(ps) < k {
			c, ok := r.NextHop(key, func(id ring.ID) bool { return skip[id] })
			if !ok {
				return
			}
			skip[c.ID] = true
			ps = append(ps, c.Peer)
		}
	})
	return ps
}

// Neighbors returns the node's neighbour set: the leaf set, in the order of the
// ring, starting from the member farthest down, each member once and this node
// left out.
func (n *Node) Neighbors() []peer.ID {
	var ps []peer.ID
	_ = n.do(n.ctx, func(r *RawNode) { ps = peersOf(r.Leaves().AppendMembers(nil)) })
	return ps
}

// ReplicaSet returns the k live members closest to key, closest first, this
// node included where it belongs. It reports false when they are out of this
// node's sight, or the node is not active: ask the root, or a node closer to
// key. In a ring of fewer than k nodes it returns all of them; of a k below 1,
// none.
func (n *Node) ReplicaSet(key ring.ID, k int) (ps []peer.ID, ok bool) {
	_ = n.do(n.ctx, func(r *RawNode) {
		var cs []*Contact
		if cs, ok = r.Replicas(nil, key, k); ok {
			ps = peersOf(cs)
		}
	})
	return ps, ok
}

// Range returns the arc of keys, from first to last going up the ring and both
// included, for which a member is among the rank+1 closest nodes: its own keys
// for rank 0. The member is this node or one of its leaves. It reports false for
// any other, for a negative rank, on a node that is not active, and when the
// arc's ends are out of this node's sight. In a ring of at most rank+1 nodes the
// arc is the whole ring: first follows last.
func (n *Node) Range(member peer.ID, rank int) (first, last ring.ID, ok bool) {
	_ = n.do(n.ctx, func(r *RawNode) { first, last, ok = r.Range(ring.FromPeer(member), rank) })
	return first, last, ok
}

// Info is the routing state of a node at one moment.
type Info struct {
	ID           ring.ID       `json:"id"`
	Peer         peer.ID       `json:"peer"`
	Addrs        []string      `json:"addrs"` // multiaddrs with the peer ID at their end, to join through
	State        string        `json:"state"` // as State.String says
	Region       string        `json:"region,omitempty"`
	RingSize     float64       `json:"ring_size"` // members, estimated from the leaf set's density
	Smaller      []InfoContact `json:"smaller"`   // nearest first
	Larger       []InfoContact `json:"larger"`    // nearest first
	Rows         [][]InfoEntry `json:"rows"`      // by shared digits
	Neighborhood []InfoContact `json:"neighborhood"`
}

// InfoContact is one known node.
type InfoContact struct {
	ID     ring.ID       `json:"id"`
	Peer   peer.ID       `json:"peer"`
	Region string        `json:"region,omitempty"`
	RTT    time.Duration `json:"rtt_ns"` // least round trip seen of late, 0 if none was
}

// InfoEntry is the primary of one place of the routing table. Column is the
// digit, 0 to 2^b-1, with which its id goes on after the digits it shares.
type InfoEntry struct {
	Column int `json:"column"`
	InfoContact
}

// Info returns a snapshot of the routing state. It waits for the goroutine that
// routes, never for the network; the error is ErrClosed or that of ctx.
func (n *Node) Info(ctx context.Context) (Info, error) {
	self := n.self.Load()
	info := Info{ID: self.ID, Peer: self.Peer, Region: self.Region, State: n.State().String()}
	for _, a := range n.host.Addrs() {
		info.Addrs = append(info.Addrs, a.String()+"/p2p/"+self.Peer.String())
	}
	err := n.do(ctx, func(r *RawNode) {
		list := func(cs []*Contact) []InfoContact {
			out := make([]InfoContact, len(cs))
			for i, c := range cs {
				out[i] = InfoContact{ID: c.ID, Peer: c.Peer, Region: c.Region, RTT: r.RTT(c.ID)}
			}
			return out
		}
		info.RingSize = r.Leaves().EstimateSize()
		info.Smaller, info.Larger = list(r.Leaves().Smaller()), list(r.Leaves().Larger())
		info.Neighborhood = list(r.Neighborhood().AppendMembers(nil))
		for row := range r.Table().Rows() {
			var entries []InfoEntry
			for _, c := range list(r.Table().AppendRow(nil, row)) {
				entries = append(entries, InfoEntry{Column: c.ID.Digit(row, r.cfg.DigitBits), InfoContact: c})
			}
			info.Rows = append(info.Rows, entries)
		}
	})
	return info, err
}
