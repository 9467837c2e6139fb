package pastry_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/testutil"
)

// tables returns whoever is in any table of a node.
func tables(t *testing.T, n *pastry.Node) []peer.ID {
	t.Helper()
	info, err := n.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ps := slices.Concat(peersOf(info.Smaller), peersOf(info.Larger), peersOf(info.Neighborhood))
	for _, row := range info.Rows {
		for _, e := range row {
			ps = append(ps, e.Peer)
		}
	}
	return ps
}

// holders returns the nodes that have a peer in any of their tables.
func holders(t *testing.T, c *testutil.Cluster, p peer.ID) (is []int) {
	t.Helper()
	for i := range c.Len() {
		if slices.Contains(tables(t, c.Node(i)), p) {
			is = append(is, i)
		}
	}
	return is
}

func TestClient(t *testing.T) {
	const nodes, client = 10, 10
	cfg := seeded(41, nodes)
	cfg.Options = clientsFrom(client)
	withRing(t, cfg, func(t *testing.T, c *testutil.Cluster) {
		i, err := c.Add()
		if err != nil {
			t.Fatal(err)
		}
		n := c.Node(i)
		if err := c.Join(within(t, 30*time.Second), i); err != nil {
			t.Fatal(err)
		}
		if got := n.State(); got != pastry.StateClient || !n.Ready() {
			t.Errorf("state: got %v, ready %t, want %v, true", got, n.Ready(), pastry.StateClient)
		}
		register(t, c, "echo", echo)
		o := c.Oracle()
		if got := len(o.Members()); got != nodes {
			t.Errorf("%d members, want %d: the client is none", got, nodes)
		}

		for _, m := range traffic(t, c, "echo", []int{i}, 40, 50*time.Millisecond, 10*time.Second) {
			if m.err != nil {
				t.Errorf("message of the client to %s: %v", m.key.Short(), m.err)
			} else if got, want := m.receipt.Root, o.Root(m.key).Host().ID(); got != want {
				t.Errorf("message of the client to %s: delivered by %v, want %v", m.key.Short(), got, want)
			}
		}
		for from := range nodes {
			r, err := c.Node(from).Send(within(t, 10*time.Second), "echo", n.Host().ID(), []byte("hello"))
			if err != nil {
				t.Errorf("node %d to the client: %v", from, err)
			} else if r.Root != n.Host().ID() || string(r.Reply) != "hello" {
				t.Errorf("node %d to the client: got %q from %v", from, r.Reply, r.Root)
			}
		}
		own := c.Oracle().Root(n.ID())
		if r, err := c.Node(0).Route(within(t, 10*time.Second), "echo", n.ID(), nil); err != nil || r.Root != own.Host().ID() {
			t.Errorf("message to the client's id: got %v, %v, want delivery by the member next to it", r, err)
		}
		time.Sleep(10 * time.Minute)
		if got := holders(t, c, n.Host().ID()); len(got) > 0 {
			t.Errorf("nodes %v have the client in their tables", got)
		}
		settle(t, c, time.Second)
	})
}

// A member that can no longer be reached becomes a client, and a member again
// when it can.
func TestModeFollowsReachability(t *testing.T) {
	const nodes, moved = 8, 3
	withRing(t, seeded(42, nodes), func(t *testing.T, c *testutil.Cluster) {
		register(t, c, "echo", echo)
		n := c.Node(moved)
		for range 2 {
			reach(t, n, network.ReachabilityPrivate, pastry.StateClient)
			settle(t, c, time.Minute)
			if got := len(c.Oracle().Members()); got != nodes-1 {
				t.Errorf("%d members, want %d", got, nodes-1)
			}
			if got := holders(t, c, n.Host().ID()); len(got) > 0 {
				t.Errorf("nodes %v have the client in their tables", got)
			}
			if _, err := n.Route(within(t, 10*time.Second), "echo", c.Node(0).ID(), nil); err != nil {
				t.Errorf("message of the client: %v", err)
			}
			checkRoots(t, c, 20)

			reach(t, n, network.ReachabilityPublic, pastry.StateActive)
			settle(t, c, time.Minute)
			if got := len(c.Oracle().Members()); got != nodes {
				t.Errorf("%d members, want %d", got, nodes)
			}
			checkRoots(t, c, 20)
			if _, err := c.Node(0).Send(within(t, 10*time.Second), "echo", n.Host().ID(), nil); err != nil {
				t.Errorf("message to the member: %v", err)
			}
		}
		reach(t, n, network.ReachabilityUnknown, pastry.StateActive)
	})
}

// What is fixed does not follow reachability.
func TestFixedModes(t *testing.T) {
	tests := map[pastry.Mode]pastry.State{pastry.ModeServer: pastry.StateActive, pastry.ModeClient: pastry.StateClient}
	for mode, want := range tests {
		t.Run(mode.String(), func(t *testing.T) {
			cfg := seeded(43, 3)
			cfg.Options = func(i int) []pastry.Option {
				if i == 2 {
					return []pastry.Option{pastry.WithMode(mode)}
				}
				return nil
			}
			withRing(t, cfg, func(t *testing.T, c *testutil.Cluster) {
				emitter, err := c.Node(2).Host().EventBus().Emitter(new(event.EvtLocalReachabilityChanged))
				if err != nil {
					t.Fatal(err)
				}
				defer emitter.Close()
				for _, r := range []network.Reachability{network.ReachabilityPrivate, network.ReachabilityPublic} {
					if err := emitter.Emit(event.EvtLocalReachabilityChanged{Reachability: r}); err != nil {
						t.Fatal(err)
					}
					time.Sleep(10 * time.Second)
					if got := c.Node(2).State(); got != want {
						t.Errorf("reachability %v: got state %v, want %v", r, got, want)
					}
				}
			})
		})
	}
}

// A client that nobody on the way knows is no member.
func TestSendToStranger(t *testing.T) {
	withRing(t, seeded(44, 4), func(t *testing.T, c *testutil.Cluster) {
		register(t, c, "echo", echo)
		h, err := c.Network().NewHost()
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Node(0).Send(within(t, 20*time.Second), "echo", h.ID(), nil)
		if !errors.Is(err, pastry.ErrNotMember) {
			t.Errorf("got %v, want %v", err, pastry.ErrNotMember)
		}
		if errors.Is(err, context.DeadlineExceeded) {
			t.Error("the sender waited for its deadline")
		}
	})
}

// A call under way when a member becomes a client ends, also without a deadline.
func TestModeChangeEndsCalls(t *testing.T) {
	withRing(t, seeded(45, 4), func(t *testing.T, c *testutil.Cluster) {
		register(t, c, "slow", func(int) pastry.Application {
			return program{deliver: func(ctx context.Context, _ *pastry.Message) ([]byte, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			}}
		})
		n := c.Node(1)
		emitter, err := n.Host().EventBus().Emitter(new(event.EvtLocalReachabilityChanged))
		if err != nil {
			t.Fatal(err)
		}
		defer emitter.Close()
		ended := make(chan error, 1)
		go func() {
			_, err := n.Route(t.Context(), "slow", c.Node(2).ID(), nil)
			ended <- err
		}()
		time.Sleep(time.Second)
		if err := emitter.Emit(event.EvtLocalReachabilityChanged{Reachability: network.ReachabilityPrivate}); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-ended:
			if !errors.Is(err, pastry.ErrNotActive) {
				t.Errorf("got %v, want %v", err, pastry.ErrNotActive)
			}
		case <-time.After(5 * time.Minute):
			t.Error("the call hangs")
		}
	})
}
