package pastry_test

import (
	"slices"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/testutil"
)

// subscribe returns the events of one type on a host's bus, for which there is
// ample room.
func subscribe[E any](t *testing.T, h host.Host) <-chan any {
	t.Helper()
	return subscribeSlow[E](t, h, 1024).Out()
}

func subscribeSlow[E any](t *testing.T, h host.Host, room int) event.Subscription {
	t.Helper()
	sub, err := h.EventBus().Subscribe(new(E), eventbus.BufSize(room))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sub.Close() })
	return sub
}

// next returns the next event, waiting up to limit.
func next[E any](t *testing.T, from <-chan any, limit time.Duration) E {
	t.Helper()
	select {
	case ev := <-from:
		return ev.(E)
	case <-time.After(limit):
		var none E
		t.Fatalf("no %T within %v", none, limit)
		return none
	}
}

// ready returns the events that wait.
func ready[E any](from <-chan any) (evs []E) {
	for {
		select {
		case ev := <-from:
			evs = append(evs, ev.(E))
		default:
			return evs
		}
	}
}

func TestNeighboursLearnOfLeaving(t *testing.T) {
	const nodes, leaver = 8, 5
	withRing(t, seeded(21, nodes), func(t *testing.T, c *testutil.Cluster) {
		gone := make([]<-chan any, nodes)
		for i := range nodes {
			gone[i] = subscribe[pastry.EvtNodeGone](t, c.Node(i).Host())
		}
		left := c.Node(leaver).Host().ID()
		if err := c.Node(leaver).Close(); err != nil {
			t.Fatal(err)
		}
		for i := range nodes {
			if i == leaver {
				continue
			}
			got := next[pastry.EvtNodeGone](t, gone[i], time.Second)
			if want := (pastry.EvtNodeGone{Peer: left, Left: true}); got != want {
				t.Errorf("node %d: got %v, want %v", i, got, want)
			}
		}
		time.Sleep(time.Minute)
		for i := range nodes {
			if more := ready[pastry.EvtNodeGone](gone[i]); len(more) > 0 {
				t.Errorf("node %d says more: %v", i, more)
			}
		}
	})
}

func TestNeighboursLearnOfDeath(t *testing.T) {
	const nodes, dead = 8, 5
	withRing(t, seeded(22, nodes), func(t *testing.T, c *testutil.Cluster) {
		var gone []<-chan any
		for i := range dead {
			gone = append(gone, subscribe[pastry.EvtNodeGone](t, c.Node(i).Host()))
		}
		c.Crash(dead)
		for i := range dead {
			got := next[pastry.EvtNodeGone](t, gone[i], 30*time.Second)
			if want := (pastry.EvtNodeGone{Peer: c.Node(dead).Host().ID()}); got != want {
				t.Errorf("node %d: got %v, want %v", i, got, want)
			}
		}
	})
}

func TestEventsOfJoining(t *testing.T) {
	const nodes = 5
	withRing(t, seeded(23, nodes), func(t *testing.T, c *testutil.Cluster) {
		i, err := c.Add()
		if err != nil {
			t.Fatal(err)
		}
		newcomer := c.Node(i).Host()
		states := subscribe[pastry.EvtStateChanged](t, newcomer)
		joined := subscribe[pastry.EvtNodeJoined](t, c.Node(0).Host())
		leaves := subscribe[pastry.EvtLeafSetChanged](t, c.Node(0).Host())
		if err := c.Join(within(t, time.Minute), i); err != nil {
			t.Fatal(err)
		}
		settle(t, c, time.Minute)
		if err := c.Node(i).Close(); err != nil {
			t.Fatal(err)
		}

		for _, want := range []pastry.State{pastry.StateJoining, pastry.StateActive, pastry.StateLeaving, pastry.StateIdle} {
			if got := next[pastry.EvtStateChanged](t, states, time.Second); got.State != want {
				t.Errorf("state: got %v, want %v", got.State, want)
			}
		}
		if got := next[pastry.EvtNodeJoined](t, joined, time.Second); got.Peer != newcomer.ID() {
			t.Errorf("joined: got %v, want %v", got.Peer, newcomer.ID())
		}
		if more := ready[pastry.EvtNodeJoined](joined); len(more) > 0 {
			t.Errorf("and besides: %v", more)
		}
		smaller, larger, _ := c.Oracle().Leaves(c.Node(0).Host().ID())
		changes := ready[pastry.EvtLeafSetChanged](leaves)
		if len(changes) == 0 {
			t.Fatal("no change of the leaf set was told")
		}
		last := changes[len(changes)-1]
		if !slices.Equal(last.Smaller, smaller) || !slices.Equal(last.Larger, larger) {
			t.Errorf("leaf set as told last: got %v, want %v and %v", last, smaller, larger)
		}
		held := func(ev pastry.EvtLeafSetChanged) bool {
			return slices.Contains(slices.Concat(ev.Smaller, ev.Larger), newcomer.ID())
		}
		if !slices.ContainsFunc(changes, held) {
			t.Error("no leaf set that was told holds the newcomer")
		}
	})
}

// Whoever subscribes and does not read harms neither the overlay nor Close.
func TestSubscriberThatDoesNotRead(t *testing.T) {
	const nodes = 6
	withRing(t, seeded(24, nodes), func(t *testing.T, c *testutil.Cluster) {
		h := c.Node(0).Host()
		subscribeSlow[pastry.EvtNodeGone](t, h, 1)
		subscribeSlow[pastry.EvtNodeJoined](t, h, 1)
		subscribeSlow[pastry.EvtLeafSetChanged](t, h, 1)
		for i := 3; i < nodes; i++ {
			if err := c.Node(i).Close(); err != nil {
				t.Fatal(err)
			}
		}
		settle(t, c, time.Minute)
		checkRoots(t, c, 20)

		start := time.Now()
		if err := c.Node(0).Close(); err != nil {
			t.Fatal(err)
		}
		if took, limit := time.Since(start), 10*time.Second; took > limit {
			t.Errorf("Close took %v, want at most %v", took, limit)
		}
	})
}

func peersOf(cs []pastry.InfoContact) []peer.ID {
	ps := make([]peer.ID, len(cs))
	for i, c := range cs {
		ps[i] = c.Peer
	}
	return ps
}

// TestHeartbeatEvent has the one neighbour of a node say that it is alive, and
// nothing else, for a minute: as often as it was told to.
func TestHeartbeatEvent(t *testing.T) {
	const every = 3 * time.Second
	withRing(t, seeded(23, 2, pastry.WithHeartbeat(every)), func(t *testing.T, c *testutil.Cluster) {
		heard := subscribe[pastry.EvtHeartbeat](t, c.Node(0).Host())
		time.Sleep(time.Minute)
		got := ready[pastry.EvtHeartbeat](heard)
		for _, ev := range got {
			if want := c.Node(1).Host().ID(); ev.Peer != want {
				t.Errorf("heartbeat of %s, want %s", ev.Peer, want)
			}
		}
		// Whatever else it says takes the place of a heartbeat.
		if most := int(time.Minute / every); len(got) > most || len(got) < most/2 {
			t.Errorf("%d heartbeats in a minute, want %d to %d", len(got), most/2, most)
		}
	})
}
