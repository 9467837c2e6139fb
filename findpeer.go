package pastry

import (
	"context"
	"errors"
	"fmt"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/core/routing"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/secondbit/pastry/internal/records"
	"github.com/secondbit/pastry/pb"
	"github.com/secondbit/pastry/ring"
)

// FindPeer returns the addresses of a peer: at once for one that the host is
// connected to, also by a relay; otherwise those that the peer has signed, which
// a member tells itself and a client has published. The error is
// peer.ErrEmptyPeerID for an empty ID, routing.ErrNotFound when the members know
// nothing of the peer, and wraps ErrUnsure when that cannot be said.
func (n *Node) FindPeer(ctx context.Context, id peer.ID) (peer.AddrInfo, error) {
	if err := id.Validate(); err != nil {
		return peer.AddrInfo{}, err
	}
	if n.isClosed() {
		return peer.AddrInfo{}, ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return peer.AddrInfo{}, err
	}
	if id == n.host.ID() {
		return peer.AddrInfo{ID: id, Addrs: n.host.Addrs()}, nil
	}
	if info, ok := n.connectedPeer(id); ok {
		return info, nil
	}
	a, err := n.findAddresses(ctx, id)
	if err != nil {
		return peer.AddrInfo{}, err
	}
	info := peer.AddrInfo{ID: id, Addrs: a.Addrs}
	n.tellFound(ctx, routing.FinalPeer, info)
	return info, nil
}

// connectedPeer returns the addresses of a peer that the host is connected to.
func (n *Node) connectedPeer(id peer.ID) (peer.AddrInfo, bool) {
	switch n.host.Network().Connectedness(id) {
	case network.Connected, network.Limited:
	default:
		return peer.AddrInfo{}, false
	}
	info := n.host.Peerstore().PeerInfo(id)
	if len(info.Addrs) == 0 {
		for _, c := range n.host.Network().ConnsToPeer(id) {
			info.Addrs = append(info.Addrs, c.RemoteMultiaddr())
		}
	}
	return info, len(info.Addrs) > 0
}

// findAddresses returns what a peer has signed about its addresses.
func (n *Node) findAddresses(ctx context.Context, id peer.ID) (*records.Addresses, error) {
	call := &pb.FindCall{Type: pb.RecordType_RECORD_TYPE_PEER, Name: []byte(id)}
	reply, err := n.readRoot(ctx, ring.FromPeer(id), call)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, err
	}
	for _, r := range n.keeper.openBatch(reply.Records, nil).opened {
		if r == nil {
			continue
		}
		if r.Type == records.TypePeer && r.Peer == id {
			return records.OpenAddresses(r.Data)
		}
		n.keeper.counts.refused(ErrRecordForged)
	}
	if reply.Total > 0 {
		return nil, fmt.Errorf("%w: what the root holds of the peer is forged or out of date", ErrUnsure)
	}
	return nil, routing.ErrNotFound
}

// GetPublicKey returns the public key of a peer: from its ID, from the
// peerstore, from the record that tells its addresses, or from the value under
// its name in the namespace pk. The error is routing.ErrNotFound when none has
// it.
func (n *Node) GetPublicKey(ctx context.Context, id peer.ID) (crypto.PubKey, error) {
	if err := id.Validate(); err != nil {
		return nil, err
	}
	if key := n.host.Peerstore().PubKey(id); key != nil {
		return key, nil
	}
	if key, err := id.ExtractPublicKey(); err == nil {
		return key, nil
	}
	a, err := n.findAddresses(ctx, id)
	if err == nil {
		return a.Key, n.host.Peerstore().AddPubKey(id, a.Key)
	}
	if ctx.Err() != nil {
		return nil, err
	}
	value, err := n.GetValue(ctx, routing.KeyForPublicKey(id))
	if err != nil {
		return nil, err
	}
	key, err := crypto.UnmarshalPublicKey(value)
	if err != nil {
		return nil, fmt.Errorf("pastry: public key of %s: %w", id, err)
	}
	return key, n.host.Peerstore().AddPubKey(id, key)
}

// GetClosestPeers returns the members that hold the records of a key, closest
// first, with their addresses in the host's peerstore for a while. The key is the
// bytes of a multihash, of a peer ID, or of a value's key.
func (n *Node) GetClosestPeers(ctx context.Context, key string) ([]peer.ID, error) {
	if key == "" {
		return nil, errors.New("pastry: GetClosestPeers: empty key")
	}
	reply, _, err := n.askRoot(ctx, ring.FromKey([]byte(key)), locateCall(n.opts.replication))
	if err != nil {
		return nil, err
	}
	var ps []peer.ID
	for _, m := range reply.GetLocate().GetMembers() {
		c, err := n.book.contact(m)
		if err != nil {
			return nil, err
		}
		var addrs []ma.Multiaddr
		if addrs, err = n.book.addrs(c); err == nil && c.Peer != n.host.ID() {
			n.host.Peerstore().AddAddrs(c.Peer, addrs, peerstore.TempAddrTTL)
		}
		ps = append(ps, c.Peer)
	}
	if len(ps) == 0 {
		return nil, routing.ErrNotFound
	}
	return ps, nil
}
