package pastry_test

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/routing"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/client"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/internal/records"
	"github.com/secondbit/pastry/ring"
	"github.com/secondbit/pastry/testutil"
)

// disconnect makes a node's host forget a peer.
func disconnect(t *testing.T, n *pastry.Node, p peer.ID) {
	t.Helper()
	if err := n.Host().Network().ClosePeer(p); err != nil {
		t.Fatal(err)
	}
	n.Host().Peerstore().ClearAddrs(p)
}

func TestFindPeer(t *testing.T) {
	const members = 12
	cfg := seeded(89, members)
	cfg.LeafSetSize = 4
	cfg.Options = clientsFrom(members, pastry.WithReplication(2))
	withRing(t, cfg, func(t *testing.T, c *testutil.Cluster) {
		client := addClient(t, c)
		for i := range c.Len() {
			n := c.Node(i)
			for j := range c.Len() {
				p := c.Node(j).Host().ID()
				got, err := n.FindPeer(within(t, 20*time.Second), p)
				if err != nil || got.ID != p || len(got.Addrs) == 0 {
					t.Fatalf("node %d looks for node %d: got %v, %v", i, j, got, err)
				}
				for _, a := range c.Node(j).Host().Addrs() {
					if !slices.ContainsFunc(got.Addrs, a.Equal) {
						t.Errorf("node %d looks for node %d: %v is missing in %v", i, j, a, got.Addrs)
					}
				}
			}
		}
		for _, n := range []*pastry.Node{c.Node(0), client} {
			if got, err := n.FindPeer(t.Context(), ""); !errors.Is(err, peer.ErrEmptyPeerID) {
				t.Errorf("empty ID: got %v, %v, want %v", got, err, peer.ErrEmptyPeerID)
			}
			got, err := n.FindPeer(within(t, 20*time.Second), newSigner(t, "nobody").id)
			if err != routing.ErrNotFound || got.ID != "" {
				t.Errorf("unknown: got %v, %v, want %v itself", got, err, routing.ErrNotFound)
			}
		}
	})
}

// A client is found for a day after it has gone, and for as long as it is there.
func TestFindPeerThatIsGone(t *testing.T) {
	const members = 2
	cfg := seeded(93, members)
	cfg.Options = clientsFrom(members, pastry.WithHeartbeat(10*time.Minute))
	withRing(t, cfg, func(t *testing.T, c *testutil.Cluster) {
		stays, goes := addClient(t, c), addClient(t, c)
		want := infosOf(goes)[0]
		if err := goes.Close(); err != nil {
			t.Fatal(err)
		}
		if err := goes.Host().Close(); err != nil {
			t.Fatal(err)
		}
		check := func(n *pastry.Node, p peer.ID, found bool) {
			t.Helper()
			disconnect(t, n, p)
			got, err := n.FindPeer(within(t, 20*time.Second), p)
			if found && (err != nil || got.ID != p || len(got.Addrs) == 0) {
				t.Errorf("got %v, %v, want it found", got, err)
			}
			if !found && err != routing.ErrNotFound {
				t.Errorf("got %v, %v, want %v itself", got, err, routing.ErrNotFound)
			}
		}
		time.Sleep(time.Minute)
		check(c.Node(0), want.ID, true)
		check(c.Node(1), want.ID, true)
		time.Sleep(25 * time.Hour)
		check(c.Node(0), want.ID, false)
		check(c.Node(1), want.ID, false)
		check(c.Node(0), stays.Host().ID(), true)
	})
}

// A member that loses its connections, or becomes slow, is not taken for dead, or
// not for long.
func TestFindPeerInTrouble(t *testing.T) {
	const nodes, victim = 3, 1
	for _, tt := range []struct {
		name  string
		cut   bool
		delay time.Duration // of each packet to and from it, from then on
		limit time.Duration // after which it must be found
	}{
		{"cut off", true, 0, 0},
		{"cut off and slow", true, 100 * time.Millisecond, 0},
		{"slow", false, 100 * time.Millisecond, 0},
		{"very slow", false, 200 * time.Millisecond, 1200 * time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var delay atomic.Int64
			cfg := seeded(91, nodes)
			cfg.Network.Latency = func(a, b int) time.Duration {
				if a == victim || b == victim {
					return time.Millisecond + time.Duration(delay.Load())
				}
				return time.Millisecond
			}
			withRing(t, cfg, func(t *testing.T, c *testutil.Cluster) {
				time.Sleep(2 * time.Minute) // until round trips are known
				h := c.Node(victim).Host()
				delay.Store(int64(tt.delay))
				for i := range nodes {
					if tt.cut && i != victim {
						disconnect(t, c.Node(i), h.ID())
						disconnect(t, c.Node(victim), c.Node(i).Host().ID())
					}
				}
				begun := time.Now()
				var missing time.Duration // from the beginning to the last look-up that began in vain
				for sent := time.Duration(0); sent < 5*time.Second; sent = time.Since(begun) {
					reply, err := pastry.AskRoot(within(t, 20*time.Second), c.Node(0), ring.FromPeer(h.ID()), findCall(records.TypePeer, []byte(h.ID()), 0))
					if err != nil {
						t.Errorf("after %v: %v", sent, err)
					} else if reply.GetFind().GetTotal() == 0 {
						missing = sent
					}
					time.Sleep(50 * time.Millisecond)
				}
				if missing > tt.limit {
					t.Errorf("it was not found after %v, want at most %v", missing, tt.limit)
				}
			})
		})
	}
}

func TestFindPeerOutsideRing(t *testing.T) {
	n, err := pastry.New(loopbackHost(t))
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	self := n.Host().ID()
	if got, err := n.FindPeer(t.Context(), self); err != nil || !cmp.Equal(got, infosOf(n)[0]) {
		t.Errorf("itself: got %v, %v", got, err)
	}
	if _, err := n.FindPeer(t.Context(), newSigner(t, "nobody").id); !errors.Is(err, pastry.ErrNotActive) {
		t.Errorf("before Join: got %v, want %v", err, pastry.ErrNotActive)
	}
	if _, err := n.GetClosestPeers(t.Context(), "key"); !errors.Is(err, pastry.ErrNotActive) {
		t.Errorf("closest peers before Join: got %v, want %v", err, pastry.ErrNotActive)
	}
	n.Close()
	for _, p := range []peer.ID{self, newSigner(t, "nobody").id} {
		if _, err := n.FindPeer(t.Context(), p); !errors.Is(err, pastry.ErrClosed) {
			t.Errorf("after Close: got %v, want %v", err, pastry.ErrClosed)
		}
	}
}

// addresses is where a host says that it is, which changes.
type addresses struct {
	mu    sync.Mutex // guards extra
	extra []ma.Multiaddr
}

func (a *addresses) factory(as []ma.Multiaddr) []ma.Multiaddr {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append(slices.Clone(as), a.extra...)
}

// add adds an address, of which the host's subscribers are told.
func (a *addresses) add(t *testing.T, h host.Host, addr string) {
	t.Helper()
	a.mu.Lock()
	a.extra = append(a.extra, ma.StringCast(addr))
	a.mu.Unlock()
	emitter, err := h.EventBus().Emitter(new(event.EvtLocalAddressesUpdated))
	if err != nil {
		t.Fatal(err)
	}
	defer emitter.Close()
	if err := emitter.Emit(event.EvtLocalAddressesUpdated{}); err != nil {
		t.Fatal(err)
	}
}

// Within seconds a peer is found where it is now, be it a client or a member, and
// so is what it provides.
func TestFindPeerThatMoves(t *testing.T) {
	const members = 6
	for _, mode := range []pastry.Mode{pastry.ModeClient, pastry.ModeServer} {
		t.Run(mode.String(), func(t *testing.T) {
			cfg := seeded(90, members)
			cfg.Options = func(i int) []pastry.Option {
				if i == members {
					return []pastry.Option{pastry.WithMode(mode)}
				}
				return nil
			}
			withRing(t, cfg, func(t *testing.T, c *testutil.Cluster) {
				var where addresses
				i, err := c.Add(libp2p.AddrsFactory(where.factory))
				if err != nil {
					t.Fatal(err)
				}
				if err := c.Join(within(t, 30*time.Second), i); err != nil {
					t.Fatal(err)
				}
				n := c.Node(i)
				for _, addr := range []string{somewhere, somewhere + "1", somewhere + "2"} {
					where.add(t, n.Host(), addr)
					time.Sleep(5 * time.Second)
					for j := range members {
						disconnect(t, c.Node(j), n.Host().ID())
						got, err := c.Node(j).FindPeer(within(t, 20*time.Second), n.Host().ID())
						if diff := cmp.Diff(got, infosOf(n)[0]); err != nil || diff != "" {
							t.Errorf("node %d: %v (-got +want):\n%s", j, err, diff)
						}
					}
				}
			})
		})
	}
}

// A peer that the host is connected to is found without a question to the ring,
// even where only a relay connects them.
func TestFindConnectedPeer(t *testing.T) {
	const nodes = 3
	withRing(t, seeded(91, nodes), func(t *testing.T, c *testutil.Cluster) {
		h, err := c.Network().NewHost()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Node(0).Host().Connect(within(t, 10*time.Second), addrInfo(h)); err != nil {
			t.Fatal(err)
		}
		c.Crash(1, 2)
		begun := time.Now()
		got, err := c.Node(0).FindPeer(within(t, 20*time.Second), h.ID())
		if err != nil || !cmp.Equal(got, addrInfo(h)) || time.Since(begun) > 0 {
			t.Errorf("after %v: got %v, %v, want %v at once", time.Since(begun), got, err, addrInfo(h))
		}
	})
}

func TestFindPeerBehindRelay(t *testing.T) {
	relay, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"), libp2p.DisableMetrics(),
		libp2p.EnableRelayService(), libp2p.ForceReachabilityPublic())
	if err != nil {
		t.Fatal(err)
	}
	defer relay.Close()
	behind, err := libp2p.New(libp2p.NoListenAddrs, libp2p.DisableMetrics(), libp2p.EnableRelay())
	if err != nil {
		t.Fatal(err)
	}
	defer behind.Close()
	ctx := within(t, 30*time.Second)
	if err := behind.Connect(ctx, addrInfo(relay)); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Reserve(ctx, behind, addrInfo(relay)); err != nil {
		t.Fatal(err)
	}
	n := pastry.LoopbackRing(t, 1)[0]
	circuit := relay.Addrs()[0].Encapsulate(ma.StringCast("/p2p/" + relay.ID().String() + "/p2p-circuit"))
	limited := network.WithAllowLimitedConn(ctx, "test")
	if err := n.Host().Connect(limited, peer.AddrInfo{ID: behind.ID(), Addrs: []ma.Multiaddr{circuit}}); err != nil {
		t.Fatal(err)
	}
	if got := n.Host().Network().Connectedness(behind.ID()); got != network.Limited {
		t.Fatalf("the host is %v, want a limited connection", got)
	}
	got, err := n.FindPeer(ctx, behind.ID())
	if err != nil || got.ID != behind.ID() || len(got.Addrs) == 0 {
		t.Errorf("got %v, %v, want its addresses", got, err)
	}
	n.Host().Peerstore().ClearAddrs(behind.ID())
	if got, err := n.FindPeer(ctx, behind.ID()); err != nil || len(got.Addrs) == 0 {
		t.Errorf("without addresses in the peerstore: got %v, %v, want that of the connection", got, err)
	}
}

// The members closest to a key come closest first, with their addresses.
func TestGetClosestPeers(t *testing.T) {
	const members, replicas = 12, 5
	cfg := seeded(92, members)
	cfg.LeafSetSize = 12
	cfg.Options = clientsFrom(members, pastry.WithReplication(replicas))
	withRing(t, cfg, func(t *testing.T, c *testutil.Cluster) {
		client := addClient(t, c)
		for _, key := range []string{"key", "another", string(client.Host().ID()), string(pastry.ContentCID(t, "content").Hash())} {
			want := c.Oracle().Replicas(ring.FromKey([]byte(key)), replicas)
			for _, n := range []*pastry.Node{c.Node(0), c.Node(7), client} {
				got, err := n.GetClosestPeers(within(t, 20*time.Second), key)
				if diff := cmp.Diff(got, want); err != nil || diff != "" {
					t.Errorf("%q: %v (-got +want):\n%s", key, err, diff)
				}
				for _, p := range got {
					if p != n.Host().ID() && len(n.Host().Peerstore().Addrs(p)) == 0 {
						t.Errorf("%q: no address of %s in the peerstore", key, p)
					}
				}
			}
		}
		if got, err := client.GetClosestPeers(t.Context(), ""); err == nil {
			t.Errorf("empty key: got %v, want an error", got)
		}
	})
}
