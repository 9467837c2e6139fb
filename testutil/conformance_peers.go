package testutil

import (
	"context"
	"fmt"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/routing"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/client"
	ma "github.com/multiformats/go-multiaddr"
)

var findPeerCases = []Case{
	{"FindPeer/member", "every router is found by every other, under its ID and with addresses of it", 4, findMembers},
	{"FindPeer/empty", "the empty ID gives peer.ErrEmptyPeerID itself", 1, findEmpty},
	{"FindPeer/unknown", "a peer that nobody knows gives routing.ErrNotFound itself", 3, findUnknown},
	{"FindPeer/alone", "so it does where the router is the only one", 1, findUnknown},
	{"FindPeer/own", "the router's own ID gives the addresses of its host", 2, findOwn},
	{"FindPeer/connected", "a connected peer without a router is found, without the network", 2, findConnected},
	{"FindPeer/limited", "so is one that is connected through a relay only", 2, findLimited},
	{"FindPeer/client", "a peer in client mode is found by one that does not know its addresses", 3, findClient},
	{"FindPeer/cancelled", "a context that has ended is the error, at once", 3, findCancelled},
}

// findPeer makes m find the peer of a host.
func (k *check) findPeer(ctx context.Context, m Member, h host.Host) {
	info, err := m.FindPeer(ctx, h.ID())
	if err != nil {
		k.fatalf("FindPeer: got %q, want no error", err)
	}
	if info.ID != h.ID() {
		k.errorf("FindPeer: got peer %q, want the one asked for", info.ID)
	}
	if err := reachable(info, h); err != nil {
		k.errorf("FindPeer: got %v", err)
	}
}

func findMembers(k *check) {
	for i, m := range k.members {
		for j, other := range k.members {
			if i != j {
				k.findPeer(k.ctx, m, other.Host)
			}
		}
	}
}

func findEmpty(k *check) {
	k.promptly("FindPeer", func() {
		_, err := k.members[0].FindPeer(k.ctx, "")
		k.is("FindPeer of the empty ID", err, peer.ErrEmptyPeerID)
	})
}

func findUnknown(k *check) {
	_, err := k.members[0].FindPeer(k.ctx, k.stranger())
	k.is("FindPeer", err, routing.ErrNotFound)
}

func findOwn(k *check) {
	for _, m := range k.members {
		k.findPeer(k.ctx, m, m.Host)
	}
}

// silently runs f with a context whose query events must not tell of the network.
func (k *check) silently(f func(ctx context.Context)) {
	ctx, cancel := context.WithCancel(k.ctx)
	defer cancel()
	ctx, out := routing.RegisterForQueryEvents(ctx)
	queries := 0
	read := k.spawn(func() {
		for e := range out {
			switch e.Type {
			case routing.DialingPeer, routing.SendingQuery, routing.PeerResponse, routing.QueryError:
				queries++
			}
		}
	})
	f(ctx)
	cancel()
	k.within(prompt, "the channel of query events", read)
	if queries != 0 {
		k.errorf("%d query events tell of the network, want none", queries)
	}
}

// connect connects two hosts.
func (k *check) connect(from host.Host, to peer.AddrInfo) {
	if err := from.Connect(k.ctx, to); err != nil {
		k.fatalf("connecting two hosts: %v", err)
	}
}

func addrInfo(h host.Host) peer.AddrInfo { return peer.AddrInfo{ID: h.ID(), Addrs: h.Addrs()} }

func findConnected(k *check) {
	h := k.newHost()
	k.connect(k.members[0].Host, addrInfo(h))
	k.silently(func(ctx context.Context) { k.findPeer(ctx, k.members[0], h) })
}

func findLimited(k *check) {
	m := k.members[0]
	relay := k.newHost(libp2p.EnableRelayService(), libp2p.ForceReachabilityPublic())
	h := k.newHost()
	through := k.circuit(relay, h)
	if !canDial(m.Host, through) {
		k.skipf("the subject's hosts have no relayed connections")
	}
	k.eventually(func() error { // the relay begins to serve when it has heard that it is public
		_, err := client.Reserve(k.ctx, h, addrInfo(relay))
		return err
	})
	k.connect(m.Host, peer.AddrInfo{ID: h.ID(), Addrs: []ma.Multiaddr{through}})
	if got := m.Host.Network().Connectedness(h.ID()); got != network.Limited {
		k.skipf("the connection is %v, want a limited one", got)
	}
	k.silently(func(ctx context.Context) {
		info, err := m.FindPeer(ctx, h.ID())
		if err != nil {
			k.fatalf("FindPeer: got %q, want no error", err)
		}
		if info.ID != h.ID() || len(info.Addrs) == 0 {
			k.errorf("FindPeer: got peer %q with %d addresses, want the one asked for with some", info.ID, len(info.Addrs))
		}
	})
}

// circuit returns an address of h through a relay.
func (k *check) circuit(relay, h host.Host) ma.Multiaddr {
	a, err := ma.NewMultiaddr(fmt.Sprintf("%s/p2p/%s/p2p-circuit/p2p/%s", relay.Addrs()[0], relay.ID(), h.ID()))
	k.must("making an address", err)
	return a
}

// canDial reports whether a host has a transport for an address.
func canDial(h host.Host, a ma.Multiaddr) bool {
	d, ok := h.Network().(interface {
		CanDial(peer.ID, ma.Multiaddr) bool
	})
	_, id := peer.SplitAddr(a)
	return ok && d.CanDial(id, a)
}

func findClient(k *check) {
	c := k.client()
	m := k.members[0]
	_ = m.Host.Network().ClosePeer(c.Host.ID())
	forget(m.Host, c.Host)
	k.eventually(func() error {
		info, err := m.FindPeer(k.ctx, c.Host.ID())
		if err != nil {
			return fmt.Errorf("FindPeer: got %q, want no error", err)
		}
		if info.ID != c.Host.ID() {
			return fmt.Errorf("FindPeer: got peer %q, want the one asked for", info.ID)
		}
		return reachable(info, c.Host)
	})
}

func findCancelled(k *check) {
	k.promptly("FindPeer", func() {
		_, err := k.members[0].FindPeer(k.cancelled(), k.stranger())
		k.ends("FindPeer", err)
	})
}
