package pastry

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multihash"

	"github.com/secondbit/pastry/ring"
)

// LoopbackRing returns the given number of nodes, on hosts of their own on
// loopback, that have joined one after another and know each other. They are
// closed, and their hosts, when the test ends. The leaf set must hold them all.
func LoopbackRing(t testing.TB, size int, opts ...Option) []*Node {
	t.Helper()
	return RingOn(t, size, func() (host.Host, error) {
		return libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"), libp2p.DisableMetrics())
	}, opts...)
}

// RingOn is LoopbackRing on hosts that newHost makes.
func RingOn(t testing.TB, size int, newHost func() (host.Host, error), opts ...Option) []*Node {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var nodes []*Node
	var subs []event.Subscription
	for i := range size {
		n := nodeOn(t, newHost, opts...)
		sub, err := n.Host().EventBus().Subscribe(new(EvtLeafSetChanged))
		if err != nil {
			t.Fatal(err)
		}
		defer sub.Close()
		subs = append(subs, sub)
		var seeds []peer.AddrInfo
		if i > 0 {
			seeds = []peer.AddrInfo{*peerInfo(nodes[i/2])}
		}
		if err := n.Join(ctx, seeds...); err != nil {
			t.Fatalf("node %d: %v", i, err)
		}
		nodes = append(nodes, n)
	}
	for i, n := range nodes {
		for len(n.Neighbors()) < size-1 {
			select {
			case <-subs[i].Out():
			case <-ctx.Done():
				t.Fatalf("node %d knows %d others, want %d", i, len(n.Neighbors()), size-1)
			}
		}
	}
	return nodes
}

// nodeOn returns a node on a host that newHost makes. Both are closed when the test
// ends.
func nodeOn(t testing.TB, newHost func() (host.Host, error), opts ...Option) *Node {
	t.Helper()
	h, err := newHost()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	n, err := New(h, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

func peerInfo(n *Node) *peer.AddrInfo {
	return &peer.AddrInfo{ID: n.Host().ID(), Addrs: n.Host().Addrs()}
}

// RootFirst orders nodes by their distance to the key of c.
func RootFirst(nodes []*Node, c cid.Cid) []*Node {
	key := ring.FromMultihash(c.Hash())
	nodes = slices.Clone(nodes)
	slices.SortFunc(nodes, func(a, b *Node) int { return ring.CompareDistance(key, a.ID(), b.ID()) })
	return nodes
}

// ContentCID returns the CID of some content.
func ContentCID(t testing.TB, content string) cid.Cid {
	t.Helper()
	mh, err := multihash.Sum([]byte(content), multihash.SHA2_256, -1)
	if err != nil {
		t.Fatal(err)
	}
	return cid.NewCidV1(cid.Raw, mh)
}
