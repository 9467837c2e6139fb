package pastry_test

import (
	"bytes"
	"context"
	"slices"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/testutil"
)

// privateHost returns a host that speaks only to those with the same key.
func privateHost(key byte) (host.Host, error) {
	return libp2p.New(libp2p.PrivateNetwork(bytes.Repeat([]byte{key}, 32)), libp2p.Transport(tcp.NewTCPTransport),
		libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"), libp2p.DisableMetrics())
}

// checkRing checks that the nodes of a ring route for each other.
func checkRing(t *testing.T, nodes []*pastry.Node) {
	t.Helper()
	c := pastry.ContentCID(t, "content")
	provide(t, nodes[0], c)
	putValue(t, nodes[1], "/rank/key", "1 value")
	for _, n := range nodes {
		checkFound(t, n, c, infosOf(nodes[0]))
		checkValue(t, n, "/rank/key", "1 value")
		got, err := n.FindPeer(within(t, 20*time.Second), nodes[len(nodes)-1].Host().ID())
		if err != nil || len(got.Addrs) == 0 {
			t.Errorf("FindPeer: got %v, %v", got, err)
		}
	}
}

// A ring forms on hosts of a private network as on others, and one without the
// key of the network does not get in.
func TestPrivateNetwork(t *testing.T) {
	nodes := pastry.RingOn(t, 4, func() (host.Host, error) { return privateHost(1) }, withRanks)
	checkRing(t, nodes)

	stranger, err := privateHost(2)
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	n, err := pastry.New(stranger)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := n.Join(ctx, addrInfo(nodes[0].Host())); err == nil {
		t.Error("a node of another network has joined")
	}
}

// So does one whose members prove that they know a passphrase.
func TestRingWithPassphrase(t *testing.T) {
	const nodes = 4
	member, stranger := pastry.Passphrase("members only"), pastry.Passphrase("members, surely")
	cfg := seeded(94, nodes)
	cfg.Options = func(i int) []pastry.Option {
		if i == nodes {
			return []pastry.Option{pastry.WithCredentials(stranger), withRanks}
		}
		return []pastry.Option{pastry.WithCredentials(member), withRanks}
	}
	withRing(t, cfg, func(t *testing.T, c *testutil.Cluster) {
		checkRing(t, c.Oracle().Members())
		i, err := c.Add()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Join(within(t, 10*time.Second), i); err == nil {
			t.Error("a node with another passphrase has joined")
		}
		for _, p := range []peer.ID{c.Node(0).Host().ID(), c.Node(1).Host().ID()} {
			if _, err := pastry.AskMember(within(t, 10*time.Second), c.Node(i), p, findCall(2, []byte("/rank/key"), 0)); err == nil {
				t.Error("a member answers a node with another passphrase")
			}
		}
	})
}

// On a local network nobody can be reached from outside, and yet all are members.
func TestLAN(t *testing.T) {
	const nodes = 5
	for _, tt := range []struct {
		name     string
		opts     []pastry.Option
		state    pastry.State
		protocol protocol.ID
	}{
		{"WithLAN", []pastry.Option{pastry.WithLAN()}, pastry.StateActive, "/lan" + pastry.ProtocolID},
		{"with a prefix of its own", []pastry.Option{pastry.WithLAN(), pastry.WithProtocolPrefix("/home")}, pastry.StateActive, "/home" + pastry.ProtocolID},
		{"as a client all the same", []pastry.Option{pastry.WithLAN(), pastry.WithMode(pastry.ModeClient)}, pastry.StateClient, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := seeded(95, nodes)
			cfg.Options = func(i int) []pastry.Option {
				if i == nodes {
					return append(slices.Clone(tt.opts), withRanks)
				}
				return append([]pastry.Option{pastry.WithLAN(), withRanks}, tt.opts[1:len(tt.opts)-boolToInt(tt.state == pastry.StateClient)]...)
			}
			testutil.WithCluster(t, cfg, func(t *testing.T, c *testutil.Cluster) {
				if _, err := c.Add(); err != nil {
					t.Fatal(err)
				}
				for i := range c.Len() {
					private(t, c.Node(i).Host())
				}
				if err := c.Start(within(t, time.Minute)); err != nil {
					t.Fatal(err)
				}
				for i := range c.Len() {
					private(t, c.Node(i).Host())
				}
				time.Sleep(30 * time.Second)
				settle(t, c, time.Minute)
				n := c.Node(nodes)
				if got := n.State(); got != tt.state {
					t.Errorf("the node is %v, want %v", got, tt.state)
				}
				for i := range nodes {
					if got := c.Node(i).State(); got != pastry.StateActive {
						t.Errorf("node %d is %v, want %v", i, got, pastry.StateActive)
					}
				}
				if got := slices.Contains(n.Host().Mux().Protocols(), tt.protocol); got != (tt.protocol != "") {
					t.Errorf("it speaks %v, want %q", n.Host().Mux().Protocols(), tt.protocol)
				}
				checkRing(t, append(c.Oracle().Members(), n))
			})
		})
	}
}

func boolToInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// private tells the subscribers of a host that it cannot be reached.
func private(t *testing.T, h host.Host) {
	t.Helper()
	emitter, err := h.EventBus().Emitter(new(event.EvtLocalReachabilityChanged))
	if err != nil {
		t.Fatal(err)
	}
	defer emitter.Close()
	if err := emitter.Emit(event.EvtLocalReachabilityChanged{Reachability: network.ReachabilityPrivate}); err != nil {
		t.Fatal(err)
	}
}

// A death on a local network is noticed by all within a heartbeat, the tries of a
// probe, and those of whoever is warned, once nobody is strained by the start.
func TestLANNoticesDeaths(t *testing.T) {
	const nodes = 5
	withRing(t, seeded(96, nodes, pastry.WithLAN()), func(t *testing.T, c *testutil.Cluster) {
		time.Sleep(time.Minute)
		c.Crash(2)
		if took := settle(t, c, 5*time.Second); took > 4*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}
