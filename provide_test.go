package pastry_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/testutil"
)

// contents returns the multihashes of a number of contents.
func contents(t testing.TB, prefix string, count int) []multihash.Multihash {
	t.Helper()
	mhs := make([]multihash.Multihash, count)
	for i := range mhs {
		mhs[i] = pastry.ContentCID(t, fmt.Sprintf("%s %d", prefix, i)).Hash()
	}
	return mhs
}

// checkProvided checks that random nodes of a cluster find that node by provides
// contents, or that it does not.
func checkProvided(t *testing.T, c *testutil.Cluster, rng *rand.Rand, by int, want bool, mhs ...multihash.Multihash) {
	t.Helper()
	provider := c.Node(by).Host().ID()
	for _, mh := range mhs {
		finder := rng.IntN(c.Len())
		for !c.Live(finder) || finder == by {
			finder = rng.IntN(c.Len())
		}
		found := false
		for _, info := range find(t, c.Node(finder), cid.NewCidV1(cid.Raw, mh), 0) {
			found = found || info.ID == provider && len(info.Addrs) > 0
		}
		if found != want {
			t.Errorf("node %d finds that node %d provides %s: %t, want %t", finder, by, mh.B58String(), found, want)
		}
	}
}

// some returns random ones of some contents.
func some(rng *rand.Rand, mhs []multihash.Multihash, count int) []multihash.Multihash {
	out := make([]multihash.Multihash, count)
	for i := range out {
		out[i] = mhs[rng.IntN(len(mhs))]
	}
	return out
}

// The records of many contents take about as many messages as there are nodes, and
// batches of records; and everybody finds them.
func TestProvideMany(t *testing.T) {
	const keys, walkers, batch, record = 2000, 8, 256 << 10, 300
	for _, tt := range []struct {
		name        string
		nodes, leaf int
		replication int
	}{
		{"every node sees the whole ring", 16, 24, 8},
		{"every node sees a part of the ring", 20, 8, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			const seed = 41
			cfg := seeded(seed, tt.nodes, pastry.WithReplication(tt.replication))
			cfg.LeafSetSize = tt.leaf
			withRing(t, cfg, func(t *testing.T, c *testutil.Cluster) {
				rng := rand.New(rand.NewPCG(seed, seed))
				mhs := contents(t, "content", keys)
				n := c.Node(3)
				begun := time.Now()
				if err := n.ProvideMany(within(t, time.Minute), append(mhs, mhs[:100]...)); err != nil {
					t.Fatal(err)
				}
				s := n.ProvideStats()
				t.Logf("%d contents provided in %v with %d messages", s.Announced, time.Since(begun), s.Calls)
				if s.Announced != keys || s.Failed != 0 {
					t.Errorf("got %d announced, %d failed, want %d and 0", s.Announced, s.Failed, keys)
				}
				if limit := uint64(tt.nodes + keys*record/batch + 2*walkers); s.Calls > limit {
					t.Errorf("got %d messages, want %d at most", s.Calls, limit)
				}
				checkProvided(t, c, rng, 3, true, some(rng, mhs, 100)...)
			})
		})
	}
}

func TestProvideManyByClient(t *testing.T) {
	const nodes, client = 6, 5
	cfg := seeded(42, nodes)
	cfg.Options = clientsFrom(client)
	withRing(t, cfg, func(t *testing.T, c *testutil.Cluster) {
		rng := rand.New(rand.NewPCG(42, 42))
		mhs := contents(t, "content", 200)
		if err := c.Node(client).ProvideMany(within(t, time.Minute), mhs); err != nil {
			t.Fatal(err)
		}
		checkProvided(t, c, rng, client, true, some(rng, mhs, 20)...)
		if err := c.Node(client).StartProviding(false, contents(t, "more", 20)...); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		checkProvided(t, c, rng, client, true, contents(t, "more", 20)...)
	})
}

// Malformed multihashes are named, and do not keep the others from being provided.
func TestProvideManyMalformed(t *testing.T) {
	withRing(t, seeded(43, 3), func(t *testing.T, c *testutil.Cluster) {
		rng := rand.New(rand.NewPCG(43, 43))
		good := contents(t, "content", 5)
		bad := []multihash.Multihash{nil, {1, 2, 3}, make([]byte, 1000), {0xff}, {0xfe}, {0xfd}}
		n := c.Node(0)
		for name, provide := range map[string]func(mhs ...multihash.Multihash) error{
			"ProvideMany": func(mhs ...multihash.Multihash) error { return n.ProvideMany(within(t, time.Minute), mhs) },
			"StartProviding": func(mhs ...multihash.Multihash) error {
				defer time.Sleep(5 * time.Second)
				return n.StartProviding(false, mhs...)
			},
		} {
			err := provide(append(bad, good...)...)
			if err == nil || !strings.Contains(err.Error(), "6 of 11") || !strings.Contains(err.Error(), "010203") || len(err.Error()) > 1000 {
				t.Errorf("%s: got %v, want it to name some of the 6 of 11", name, err)
			}
			if errors.Is(err, pastry.ErrNotStored) {
				t.Errorf("%s: got %v, though all that can be is stored", name, err)
			}
			checkProvided(t, c, rng, 0, true, good...)
		}
		if err := n.ProvideMany(t.Context(), nil); err != nil {
			t.Errorf("nothing to provide: got %v", err)
		}
	})
}

func TestProvideManyOutsideRing(t *testing.T) {
	n, err := pastry.New(loopbackHost(t))
	if err != nil {
		t.Fatal(err)
	}
	mhs := contents(t, "content", 100)
	if err := n.ProvideMany(t.Context(), mhs); !errors.Is(err, pastry.ErrNotActive) || !errors.Is(err, pastry.ErrNotStored) {
		t.Errorf("before Join: got %v, want ErrNotActive and ErrNotStored", err)
	}
	if err := n.StartProviding(false, mhs...); err != nil {
		t.Errorf("before Join: got %v, want nil", err)
	}
	if s := n.ProvideStats(); s.Keys != 100 || s.Due != 100 || s.Failed != 100 {
		t.Errorf("before Join: got %+v, want 100 keys, due and failed", s)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{"ProvideMany": n.ProvideMany(t.Context(), mhs),
		"StartProviding": n.StartProviding(true, mhs...), "StopProviding": n.StopProviding(mhs...)} {
		if !errors.Is(err, pastry.ErrClosed) {
			t.Errorf("%s after Close: got %v, want ErrClosed", name, err)
		}
	}
}

// ProvideMany ends at once when its context does, and says what was not stored.
func TestProvideManyCancelled(t *testing.T) {
	withRing(t, seeded(44, 8), func(t *testing.T, c *testutil.Cluster) {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		begun := time.Now()
		err := c.Node(0).ProvideMany(ctx, contents(t, "content", 5000))
		if took := time.Since(begun); took > 350*time.Millisecond {
			t.Errorf("ended after %v, want 300ms", took)
		}
		if !errors.Is(err, pastry.ErrNotStored) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want ErrNotStored and DeadlineExceeded", err)
		}
		if s := c.Node(0).ProvideStats(); s.Announced+s.Failed != 5000 || s.Failed == 0 {
			t.Errorf("got %+v, want 5,000 announced and failed", s)
		}
	})
}

// Nodes that crash without a word delay ProvideMany, and take nothing from it.
func TestProvideManyAfterCrashes(t *testing.T) {
	withRing(t, seeded(45, 16), func(t *testing.T, c *testutil.Cluster) {
		rng := rand.New(rand.NewPCG(45, 45))
		c.Crash(2, 5, 11)
		mhs := contents(t, "content", 1000)
		begun := time.Now()
		if err := c.Node(0).ProvideMany(within(t, 2*time.Minute), mhs); err != nil {
			t.Fatal(err)
		}
		t.Logf("provided in %v with %d messages", time.Since(begun), c.Node(0).ProvideStats().Calls)
		checkProvided(t, c, rng, 0, true, some(rng, mhs, 50)...)
	})
}

// The progress is told every second and at the end, and never goes back.
func TestProvideProgress(t *testing.T) {
	withRing(t, seeded(46, 8), func(t *testing.T, c *testutil.Cluster) {
		n := c.Node(0)
		sub, err := n.Host().EventBus().Subscribe(new(pastry.EvtProvideProgress))
		if err != nil {
			t.Fatal(err)
		}
		defer sub.Close()
		const keys = 2500
		begun := time.Now()
		if err := n.ProvideMany(within(t, time.Minute), contents(t, "content", keys)); err != nil {
			t.Fatal(err)
		}
		took := time.Since(begun)
		time.Sleep(time.Second)
		var last pastry.EvtProvideProgress
		events := 0
		for ; len(sub.Out()) > 0; events++ {
			e := (<-sub.Out()).(pastry.EvtProvideProgress)
			if e.Done < last.Done || e.Total != keys {
				t.Errorf("got %+v after %+v", e, last)
			}
			last = e
		}
		if want := (pastry.EvtProvideProgress{Done: keys, Total: keys}); last != want {
			t.Errorf("got %+v at the end, want %+v", last, want)
		}
		if want := int(took/time.Second) + 1; events != want {
			t.Errorf("got %d events in %v, want %d", events, took, want)
		}
	})
}
