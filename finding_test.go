package pastry_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/ring"
	"github.com/secondbit/pastry/testutil"
)

func TestFindAfterRootIsGone(t *testing.T) {
	for name, end := range map[string]func(*pastry.Node) error{
		"left":    (*pastry.Node).Close,
		"crashed": func(n *pastry.Node) error { return n.Host().Close() },
	} {
		t.Run(name, func(t *testing.T) {
			nodes := pastry.LoopbackRing(t, 8, pastry.WithReplication(4))
			c := pastry.ContentCID(t, name)
			order := pastry.RootFirst(nodes, c)
			root, rest := order[0], order[1:]
			provide(t, rest[6], c)
			if err := end(root); err != nil {
				t.Fatal(err)
			}
			for _, n := range rest {
				checkFound(t, n, c, infosOf(rest[6]))
			}
			provide(t, rest[2], c)
			checkFound(t, rest[0], c, infosOf(rest[2], rest[6])) // the root now
			for _, n := range rest {
				checkFoundSoon(t, n, c, infosOf(rest[2], rest[6]))
			}
		})
	}
}

// checkFoundSoon waits until a node finds all that a majority has stored: the replica
// that it asks, the nearest, may be the one that stores it last.
func checkFoundSoon(t *testing.T, n *pastry.Node, c cid.Cid, want []peer.AddrInfo) {
	t.Helper()
	ctx := within(t, 10*time.Second)
	for ctx.Err() == nil && !cmp.Equal(find(t, n, c, 0), want) {
	}
	checkFound(t, n, c, want)
}

// A node that joins as the closest one to a key has what it should hold, and
// until it does it asks others: at no moment is a record not found.
func TestFindWhileRootJoins(t *testing.T) {
	const seed, nodes, joiner, files = 5, 6, 6, 8
	withRing(t, seeded(seed, nodes), func(t *testing.T, c *testutil.Cluster) {
		i, err := c.Add()
		if err != nil {
			t.Fatal(err)
		}
		members := slices.Clone(c.Oracle().Members())
		var contents []cid.Cid
		for k := 0; len(contents) < files; k++ {
			if content := pastry.ContentCID(t, fmt.Sprint(k)); pastry.RootFirst(append(members, c.Node(i)), content)[0] == c.Node(i) {
				provide(t, c.Node(k%nodes), content)
				contents = append(contents, content)
			}
		}
		joined := make(chan error, 1)
		go func() { joined <- c.Join(within(t, 30*time.Second), i) }()
		var wg sync.WaitGroup
		for round := range 60 {
			content := contents[round%files]
			for from := range nodes {
				wg.Go(func() {
					if got := find(t, c.Node(from), content, 0); len(got) != 1 {
						t.Errorf("after %d ms node %d finds %d providers, want 1", 50*round, from, len(got))
					}
				})
			}
			time.Sleep(50 * time.Millisecond)
		}
		wg.Wait()
		if err := <-joined; err != nil {
			t.Fatal(err)
		}
		for _, content := range contents {
			if got := find(t, c.Node(i), content, 0); len(got) != 1 {
				t.Errorf("the new root finds %d providers, want 1", len(got))
			}
			if !pastry.Holds(c.Node(i), providerID(content, c.Index(find(t, c.Node(i), content, 1)[0].ID), c)) {
				t.Errorf("the new root does not hold %s", content)
			}
		}
	})
}

// Up to seven of the eight holders of a record may die without a word.
func TestFindAfterSilentCrashes(t *testing.T) {
	const seed, nodes, files = 1, 24, 10
	withRing(t, seeded(seed, nodes), func(t *testing.T, c *testutil.Cluster) {
		last := c.Node(nodes - 1)
		var contents []cid.Cid
		for i := range files {
			contents = append(contents, pastry.ContentCID(t, fmt.Sprint(i)))
			provide(t, last, contents[i])
		}
		time.Sleep(time.Second)
		crashed := rand.New(rand.NewPCG(seed, seed)).Perm(nodes - 1)[:nodes/4]
		root := c.Index(c.Oracle().Root(ring.FromMultihash(contents[0].Hash())).Host().ID())
		if root != nodes-1 && !slices.Contains(crashed, root) {
			crashed[0] = root
		}
		c.Crash(crashed...)
		check := func(limit time.Duration) {
			for _, content := range contents {
				for i := range nodes {
					if !c.Live(i) {
						continue
					}
					begun := time.Now()
					checkFound(t, c.Node(i), content, infosOf(last))
					if took := time.Since(begun); took > limit {
						t.Errorf("node %d took %v to find a provider, want %v at most", i, took, limit)
					}
				}
			}
		}
		check(10 * time.Second) // at once
		settle(t, c, 5*time.Minute)
		check(2 * time.Second)
		provide(t, last, pastry.ContentCID(t, "later"))
	})
}

// A search that waits for a silent root ends when it is cancelled.
func TestCancelledFindEndsAtOnce(t *testing.T) {
	withRing(t, seeded(2, 6), func(t *testing.T, c *testutil.Cluster) {
		content := pastry.ContentCID(t, "content")
		c.Crash(upTo(1, 6)...)
		ctx, cancel := context.WithCancel(t.Context())
		ch := c.Node(0).FindProvidersAsync(ctx, content, 0)
		time.Sleep(10 * time.Millisecond)
		cancelled := time.Now()
		cancel()
		for range ch {
			t.Error("got a provider")
		}
		if late := time.Since(cancelled); late > 0 {
			t.Errorf("the channel was closed %v after the cancellation, want at once", late)
		}
	})
}

// A record is found for 48 hours after Provide was called last, and then no more.
func TestRecordsExpire(t *testing.T) {
	const validity = 48 * time.Hour
	var m metered
	cfg := seeded(3, 2)
	cfg.Options = func(i int) []pastry.Option {
		return []pastry.Option{m.option(i), pastry.WithHeartbeat(10 * time.Minute)}
	}
	withRing(t, cfg, func(t *testing.T, c *testutil.Cluster) {
		once, again := pastry.ContentCID(t, "once"), pastry.ContentCID(t, "again")
		provide(t, c.Node(0), once)
		provide(t, c.Node(0), again)
		time.Sleep(validity / 2)
		provide(t, c.Node(0), again)
		time.Sleep(validity/2 - time.Minute)
		for i := range 2 {
			checkFound(t, c.Node(i), once, infosOf(c.Node(0)))
		}
		time.Sleep(2 * time.Minute)
		for i := range 2 {
			checkFound(t, c.Node(i), once, nil)
			checkFound(t, c.Node(i), again, infosOf(c.Node(0)))
			if got := len(pastry.HeldEntries(c.Node(i))); got != 1 {
				t.Errorf("node %d holds %d records, want 1: the other has expired", i, got)
			}
			if got := m.value(t, i, "records_expired_total"); got != 1 {
				t.Errorf("node %d has counted %v expired records, want 1", i, got)
			}
		}
	})
}

// A reader gets all providers of a content, however many answers that takes.
func TestFindManyProviders(t *testing.T) {
	withServant(t, func(t *testing.T, c *testutil.Cluster, m *metered) {
		content := pastry.ContentCID(t, "content")
		want := pastry.Crowd(t, c.Node(0), content.Hash(), 250, 60) // more than one answer holds
		slices.Sort(want)
		var got []peer.ID
		for _, info := range find(t, c.Node(1), content, 0) {
			got = append(got, info.ID)
			if len(info.Addrs) != 60 {
				t.Errorf("%s has %d addresses, want 60", info.ID, len(info.Addrs))
			}
		}
		if diff := cmp.Diff(got, want); diff != "" {
			t.Errorf("providers differ (-got +want):\n%s", diff)
		}
		if got := m.value(t, 1, "reads_total", "root"); got < 2 || got > 5 {
			t.Errorf("that took %v answers", got)
		}
	})
}

func TestProvideAndFindConcurrently(t *testing.T) {
	nodes := pastry.LoopbackRing(t, 5)
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			c := pastry.ContentCID(t, fmt.Sprint(i))
			n := nodes[i%len(nodes)]
			if err := n.Provide(t.Context(), c, true); err != nil {
				t.Errorf("content %d: %v", i, err)
				return
			}
			var inner sync.WaitGroup
			for _, finder := range nodes {
				inner.Go(func() {
					var got []peer.ID
					for info := range finder.FindProvidersAsync(t.Context(), c, 0) {
						got = append(got, info.ID)
					}
					if diff := cmp.Diff(got, []peer.ID{n.Host().ID()}); diff != "" {
						t.Errorf("providers of content %d differ (-got +want):\n%s", i, diff)
					}
				})
			}
			inner.Wait()
		})
	}
	wg.Wait()
}
