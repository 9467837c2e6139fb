package pastry_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/testutil"
)

// Nodes join one after the other and then four at a time, each through a random
// one that joined before; the ring is exact and every message finds its root.
func TestNodesJoin(t *testing.T) {
	const together = 4
	nodes := full(32)
	alone := nodes / 2
	testutil.WithCluster(t, seeded(11, nodes), func(t *testing.T, c *testutil.Cluster) {
		took := make([]time.Duration, nodes)
		join := func(i int) {
			start := time.Now()
			if err := c.Join(within(t, time.Minute), i); err != nil {
				t.Error(err)
			}
			took[i] = time.Since(start)
		}
		for i := range alone {
			join(i)
		}
		for i := alone; i < nodes; i += together {
			var wg sync.WaitGroup
			for k := range together {
				wg.Go(func() { join(i + k) })
			}
			wg.Wait()
		}
		slices.Sort(took)
		t.Logf("joining took %v in the median, %v at most", took[nodes/2], took[nodes-1])
		if got, limit := took[nodes-1], 15*time.Second; got > limit {
			t.Errorf("joining took up to %v, want at most %v", got, limit)
		}
		t.Logf("exact %v after the last join", settle(t, c, time.Minute))
		checkRoots(t, c, 300)
	})
}

// A quarter of the nodes dies without a goodbye. Whoever sends a message right
// then waits, but loses none.
func TestMessagesSurviveCrash(t *testing.T) {
	nodes := full(32)
	dead := nodes / 4
	withRing(t, seeded(12, nodes), func(t *testing.T, c *testutil.Cluster) {
		c.Crash(upTo(nodes-dead, nodes)...)
		checkRoots(t, c, 200)
		t.Logf("exact again after %v", settle(t, c, time.Minute))
		checkRoots(t, c, 200)
	})
}

// Silent death of a hop costs a message one timeout of that hop.
func TestLatencyAfterCrash(t *testing.T) {
	if testing.Short() {
		t.Skip("fifty nodes and a thousand messages")
	}
	const (
		nodes, dead = 50, 10
		messages    = 600
		gap         = 10 * time.Millisecond
	)
	withRing(t, seeded(13, nodes), func(t *testing.T, c *testutil.Cluster) {
		register(t, c, "echo", echo)
		run := func() []call {
			calls := traffic(t, c, "echo", upTo(0, nodes-dead), messages, gap, 30*time.Second)
			o := c.Oracle()
			for _, m := range calls {
				if m.err != nil {
					t.Errorf("message from node %d to %s: %v", m.from, m.key.Short(), m.err)
				} else if got, want := m.receipt.Root, o.Root(m.key).Host().ID(); got != want {
					t.Errorf("message from node %d to %s: delivered by %v, want %v", m.from, m.key.Short(), got, want)
				}
			}
			return calls
		}
		before := run()
		c.Crash(upTo(nodes-dead, nodes)...)
		after := run()
		for _, q := range []float64{.5, .9, .99, 1} {
			t.Logf("quantile %.2f: %v before, %v after", q, quantile(before, q), quantile(after, q))
		}
		if got, limit := quantile(after, .99), 3*quantile(before, .99); got > limit {
			t.Errorf("99%% of messages took up to %v after the crash, want at most %v", got, limit)
		}
		settle(t, c, time.Minute)
	})
}

// A ring that is cut in two for ten minutes becomes one again.
func TestHalvesMerge(t *testing.T) {
	const nodes = 16
	withRing(t, seeded(14, nodes), func(t *testing.T, c *testutil.Cluster) {
		c.Partition(upTo(0, nodes/2))
		settle(t, c, time.Minute)
		checkRoots(t, c, 20)
		time.Sleep(10 * time.Minute)
		c.Heal()
		t.Logf("one ring after %v", settle(t, c, 2*time.Minute))
		checkRoots(t, c, 100)
	})
}

func TestSurvivorOfTwo(t *testing.T) {
	withRing(t, seeded(15, 2), func(t *testing.T, c *testutil.Cluster) {
		register(t, c, "echo", echo)
		c.Crash(1)
		start := time.Now()
		r, err := c.Node(0).Route(within(t, 10*time.Second), "echo", c.Node(1).ID(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Index(r.Root); got != 0 {
			t.Errorf("delivered by node %d, want the survivor", got)
		}
		if took, limit := time.Since(start), 5*time.Second; took > limit {
			t.Errorf("delivered after %v, want at most %v", took, limit)
		}
	})
}

// Nobody loses a message while nodes leave one after the other.
func TestCloseUnderTraffic(t *testing.T) {
	const nodes, stay, messages = 14, 4, 400
	withRing(t, seeded(16, nodes), func(t *testing.T, c *testutil.Cluster) {
		once := newOnce()
		register(t, c, "once", once.at)
		closed := make(chan struct{})
		go func() {
			defer close(closed)
			for i := stay; i < nodes; i++ {
				if err := c.Node(i).Close(); err != nil {
					t.Errorf("closing node %d: %v", i, err)
				}
			}
		}()
		for _, m := range traffic(t, c, "once", upTo(0, stay), messages, 20*time.Millisecond, 30*time.Second) {
			if m.err != nil {
				t.Errorf("message from node %d to %s: %v", m.from, m.key.Short(), m.err)
			}
		}
		<-closed
		once.check(t, messages)
		settle(t, c, time.Minute)
		if got := len(c.Oracle().Members()); got != stay {
			t.Errorf("%d members stay, want %d", got, stay)
		}
		checkRoots(t, c, 50)
	})
}

// full returns the number of nodes of a test, half of them with -short.
func full(nodes int) int {
	if testing.Short() {
		return nodes / 2
	}
	return nodes
}

// once is an application that counts how often each payload is delivered.
type once struct {
	mu   sync.Mutex // guards seen
	seen map[string]int
}

func newOnce() *once { return &once{seen: make(map[string]int)} }

func (o *once) at(int) pastry.Application {
	return program{deliver: func(_ context.Context, m *pastry.Message) ([]byte, error) {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.seen[string(m.Payload)]++
		return m.Payload, nil
	}}
}

// check fails the test unless so many payloads were delivered, each once.
func (o *once) check(t *testing.T, want int) {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	if got := len(o.seen); got != want {
		t.Errorf("%d messages delivered, want %d", got, want)
	}
	for payload, times := range o.seen {
		if times != 1 {
			t.Errorf("message %x was delivered %d times", payload, times)
		}
	}
}
