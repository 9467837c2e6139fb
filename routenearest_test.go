package pastry_test

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/ring"
	"github.com/secondbit/pastry/testutil"
)

// onPlane returns how long a packet travels between two hosts that lie at random on a
// square of the given width.
func onPlane(a, b int, width time.Duration) time.Duration {
	at := func(i int) (x, y float64) {
		rng := rand.New(rand.NewPCG(uint64(i), 7))
		return rng.Float64(), rng.Float64()
	}
	ax, ay := at(a)
	bx, by := at(b)
	return time.Millisecond + time.Duration(math.Hypot(ax-bx, ay-by)*float64(width))
}

// In a ring of which no node sees all, messages for any of five replicas go to one of
// them, mostly the nearest, and past those that have fallen silent. A client's do as
// well.
func TestRouteNearest(t *testing.T) {
	const nodes, client, replicas, nobody = 28, 28, 5, -1
	cfg := seeded(107, nodes)
	cfg.LeafSetSize = 16
	cfg.Network.Latency = func(a, b int) time.Duration { return onPlane(a, b, 80*time.Millisecond) }
	cfg.Options = func(i int) []pastry.Option {
		if i == client {
			return []pastry.Option{pastry.WithMode(pastry.ModeClient)}
		}
		return nil
	}
	withRing(t, cfg, func(t *testing.T, c *testutil.Cluster) {
		if _, err := c.Add(); err != nil {
			t.Fatal(err)
		}
		if err := c.Join(within(t, time.Minute), client); err != nil {
			t.Fatal(err)
		}
		register(t, c, "copies", func(int) pastry.Application {
			return program{deliver: func(_ context.Context, m *pastry.Message) ([]byte, error) {
				if m.Replicas != replicas || m.Direct {
					t.Errorf("delivered a message for any of %d, direct %t; want %d and false", m.Replicas, m.Direct, replicas)
				}
				return m.Payload, nil
			}}
		})
		checkRoots(t, c, 250) // coordinates become good by the round trips of messages
		// away is how far node i is from another, 0 from itself.
		away := func(from, i int) time.Duration {
			if i == from {
				return 0
			}
			return c.Network().Latency(from, i)
		}
		// ask sends to a key from each node, and returns who delivered, nobody for one that
		// has crashed.
		ask := func(key ring.ID) (by []int) {
			for from := range c.Len() {
				if c.Network().Crashed(from) {
					by = append(by, nobody)
					continue
				}
				r, err := c.Node(from).RouteNearest(within(t, 20*time.Second), "copies", key, replicas, []byte("hi"))
				if err != nil || string(r.Reply) != "hi" {
					t.Fatalf("from node %d: got %q, %v", from, r.Reply, err)
				}
				by = append(by, c.Index(r.Root))
			}
			return by
		}
		asked, nearest := 0, 0
		for _, key := range c.RandomKeys(4) {
			set := c.Oracle().Replicas(key, replicas)
			for from, by := range ask(key) {
				if !slices.Contains(set, c.Node(by).Host().ID()) {
					t.Errorf("from node %d: delivered by node %d, which is none of the replicas", from, by)
				}
				least := time.Hour
				for _, p := range set {
					least = min(least, away(from, c.Index(p)))
				}
				asked++
				if away(from, by) <= least+5*time.Millisecond {
					nearest++
				}
			}
		}
		t.Logf("%d of %d went to the nearest", nearest, asked)
		if nearest < asked*8/10 {
			t.Errorf("%d of %d messages went to the nearest replica, want 8 in 10", nearest, asked)
		}

		key := c.RandomKeys(1)[0]
		before := c.Oracle().Replicas(key, replicas)
		for _, p := range before[:replicas-1] {
			c.Crash(c.Index(p))
		}
		ask(key) // nobody knows yet who is dead, and every message is answered
		settle(t, c, time.Minute)
		after := c.Oracle().Replicas(key, replicas) // of those that are left
		for from, by := range ask(key) {
			if by != nobody && !slices.Contains(after, c.Node(by).Host().ID()) {
				t.Errorf("from node %d: delivered by node %d, want one of the replicas that are left", from, by)
			}
		}
	})
}

// One replica is the root. So many that no node could see them are refused.
func TestRouteNearestOf(t *testing.T) {
	withRing(t, seeded(108, 3), func(t *testing.T, c *testutil.Cluster) {
		register(t, c, "copies", func(int) pastry.Application { return program{} })
		key := c.RandomKeys(1)[0]
		for _, replicas := range []int{1, 2, 3, 13} {
			r, err := c.Node(0).RouteNearest(within(t, 5*time.Second), "copies", key, replicas, nil)
			if err != nil || !slices.Contains(c.Oracle().Replicas(key, replicas), r.Root) {
				t.Errorf("of %d: delivered by node %d, %v", replicas, c.Index(r.Root), err)
			}
			if replicas >= 3 && r.Hops != 0 {
				t.Errorf("of %d, one of which is the sender: %d hops, want 0", replicas, r.Hops)
			}
		}
		for _, replicas := range []int{-1, 0, 14} {
			if _, err := c.Node(0).RouteNearest(t.Context(), "copies", key, replicas, nil); err == nil {
				t.Errorf("of %d: no error", replicas)
			}
		}
	})
}
