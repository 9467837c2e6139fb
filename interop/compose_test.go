package interop_test

import (
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	dht "github.com/libp2p/go-libp2p-kad-dht"
	routinghelpers "github.com/libp2p/go-libp2p-routing-helpers"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/routing"
	"github.com/multiformats/go-multihash"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/interop"
	"github.com/secondbit/pastry/testutil"
)

var (
	_ routing.Routing                  = (*pastry.Node)(nil)
	_ routing.PubKeyFetcher            = (*pastry.Node)(nil)
	_ routinghelpers.ProvideManyRouter = (*pastry.Node)(nil)
	_ routinghelpers.ReadyAbleRouter   = (*pastry.Node)(nil)
	_ routinghelpers.ComposableRouter  = (*pastry.Node)(nil)
)

// kadNetwork returns routers of kad-dht that know each other, on hosts.
func kadNetwork(t *testing.T, hosts ...host.Host) []*dht.IpfsDHT {
	t.Helper()
	s := interop.KadDHT()
	var members []testutil.Member
	var dhts []*dht.IpfsDHT
	for _, h := range hosts {
		r, err := s.Router(h, testutil.RouterConfig{Namespace: "interop", Validator: anyValue{}})
		must(t, err)
		m := testutil.Member{Routing: r, Host: h}
		dhts = append(dhts, r.(*dht.IpfsDHT))
		atEnd(t, dhts[len(dhts)-1].Close)
		must(t, s.Join(within(t, 20*time.Second), m, members))
		members = append(members, m)
	}
	return dhts
}

// The router works beside kad-dht, in parallel: what is in either network is
// found, and what is announced or stored goes to both.
func TestParallel(t *testing.T) {
	ctx := within(t, 30*time.Second)
	nodes := ring(t, 3)
	node, onlyPastry := nodes[0], nodes[2]
	dhts := kadNetwork(t, node.Host(), newHost(t), newHost(t))
	onlyKad := dhts[2]
	both := routinghelpers.NewComposableParallel([]*routinghelpers.ParallelRouter{
		{Router: node, Timeout: 10 * time.Second},
		{Router: dhts[0], Timeout: 10 * time.Second},
	})
	if !both.Ready() {
		t.Error("the composition is not ready")
	}
	must(t, both.Bootstrap(ctx))

	t.Run("provide", func(t *testing.T) {
		keys := []multihash.Multihash{multihashOf(t, "one"), multihashOf(t, "two")}
		must(t, both.ProvideMany(ctx, keys))
		for _, key := range keys {
			c := cid.NewCidV1(cid.Raw, key)
			if !finds(ctx, onlyPastry, c, node) {
				t.Error("the provider is not found in the ring")
			}
			if got := providers(onlyKad.FindProvidersAsync(ctx, c, 1)); len(got) != 1 {
				t.Errorf("kad-dht finds %d providers, want 1", len(got))
			}
		}
	})
	t.Run("find providers", func(t *testing.T) {
		c := cid.NewCidV1(cid.Raw, multihashOf(t, "of either"))
		must(t, onlyPastry.Provide(ctx, c, true))
		must(t, onlyKad.Provide(ctx, c, true))
		got := providers(both.FindProvidersAsync(ctx, c, 0))
		for name, want := range map[string]peer.ID{"the ring": onlyPastry.Host().ID(), "kad-dht": onlyKad.PeerID()} {
			if !got[want] {
				t.Errorf("the provider in %s is not found", name)
			}
		}
	})
	t.Run("find peer", func(t *testing.T) {
		for name, want := range map[string]peer.ID{"the ring": onlyPastry.Host().ID(), "kad-dht": onlyKad.PeerID()} {
			info, err := both.FindPeer(ctx, want)
			if err != nil || info.ID != want || len(info.Addrs) == 0 {
				t.Errorf("a peer in %s: got %v, %v", name, info, err)
			}
		}
	})
	t.Run("values", func(t *testing.T) {
		checkValues(t, both, onlyPastry, onlyKad)
	})
}

// checkValues stores values in either network and in both.
func checkValues(t *testing.T, both, onlyPastry, onlyKad routing.ValueStore) {
	ctx := within(t, 20*time.Second)
	must(t, both.PutValue(ctx, "/interop/both", []byte("both")))
	must(t, onlyPastry.PutValue(ctx, "/interop/pastry", []byte("pastry")))
	must(t, onlyKad.PutValue(ctx, "/interop/kad", []byte("kad")))
	for _, tt := range []struct {
		name      string
		from      routing.ValueStore
		key, want string
	}{
		{"both to the ring", onlyPastry, "/interop/both", "both"},
		{"both to kad-dht", onlyKad, "/interop/both", "both"},
		{"the ring to both", both, "/interop/pastry", "pastry"},
		{"kad-dht to both", both, "/interop/kad", "kad"},
	} {
		got, err := tt.from.GetValue(ctx, tt.key)
		if err != nil || string(got) != tt.want {
			t.Errorf("%s: got %q, %v", tt.name, got, err)
		}
	}
	if _, err := both.GetValue(ctx, "/interop/nothing"); err != routing.ErrNotFound {
		t.Errorf("a value in neither network: got %v, want %v itself", err, routing.ErrNotFound)
	}
}

func multihashOf(t *testing.T, text string) multihash.Multihash {
	t.Helper()
	mh, err := multihash.Sum([]byte(text), multihash.SHA2_256, -1)
	must(t, err)
	return mh
}

// providers returns the peers that a search gives.
func providers(ch <-chan peer.AddrInfo) map[peer.ID]bool {
	found := make(map[peer.ID]bool)
	for info := range ch {
		found[info.ID] = true
	}
	return found
}
