package pastry

import (
	"context"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/secondbit/pastry/ring"
)

// NextHop returns the neighbour to which this node would send a message for
// key. It reports false when the node is itself root of key, or is not part of
// a ring.
func (n *Node) NextHop(key ring.ID) (next peer.ID, ok bool) {
	_ = n.do(n.ctx, func(r *RawNode) {
		var c Contact
		c, ok = r.NextHop(key, nil)
		next = c.Peer
	})
	return next, ok
}

// LocalLookup returns up to k members this node knows that are closer to key
// than itself, closest first: the next hops it would choose from.
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
// ring, starting from the member farthest down.
func (n *Node) Neighbors() []peer.ID {
	var ps []peer.ID
	_ = n.do(n.ctx, func(r *RawNode) { ps = peersOf(r.Leaves().AppendMembers(nil)) })
	return ps
}

// ReplicaSet returns the k live members closest to key, closest first, this
// node included where it belongs. It reports false when they are out of this
// node's sight: ask the root, or a node closer to key. In a ring of fewer than k
// nodes it returns all of them.
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
// for rank 0. The member is this node or one of its leaves. It reports false
// when the arc's ends are out of this node's sight. In a ring of at most rank+1
// nodes the arc is the whole ring: first follows last.
func (n *Node) Range(member peer.ID, rank int) (first, last ring.ID, ok bool) {
	_ = n.do(n.ctx, func(r *RawNode) { first, last, ok = r.Range(ring.FromPeer(member), rank) })
	return first, last, ok
}

// Info is the routing state of a node at one moment.
type Info struct {
	ID           ring.ID       `json:"id"`
	Peer         peer.ID       `json:"peer"`
	Addrs        []string      `json:"addrs"`
	State        string        `json:"state"`
	Region       string        `json:"region,omitempty"`
	RingSize     float64       `json:"ring_size"` // estimate from the leaf set's density
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

// InfoEntry is the primary of one place of the routing table.
type InfoEntry struct {
	Column int `json:"column"`
	InfoContact
}

// Info returns a snapshot of the routing state.
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
