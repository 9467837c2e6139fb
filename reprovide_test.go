package pastry_test

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	ds "github.com/ipfs/go-datastore"
	dssync "github.com/ipfs/go-datastore/sync"
	"github.com/libp2p/go-libp2p"
	"github.com/multiformats/go-multihash"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/testutil"
)

func startProviding(t *testing.T, n *pastry.Node, force bool, mhs ...multihash.Multihash) {
	t.Helper()
	if err := n.StartProviding(force, mhs...); err != nil {
		t.Fatal(err)
	}
}

// What StartProviding was told is found for days, what StopProviding was told
// until its records have expired.
func TestStartProviding(t *testing.T) {
	long(t, "days of virtual time")
	const seed, nodes, by = 51, 5, 2
	withRing(t, seeded(seed, nodes, pastry.WithHeartbeat(10*time.Minute)), func(t *testing.T, c *testutil.Cluster) {
		rng := rand.New(rand.NewPCG(seed, seed))
		n := c.Node(by)
		kept, stopped := contents(t, "kept", 300), contents(t, "stopped", 100)
		startProviding(t, n, false, append(kept, stopped...)...)
		if s := n.ProvideStats(); s.Keys != 400 {
			t.Errorf("got %d keys, want 400", s.Keys)
		}
		time.Sleep(5 * time.Second)
		checkProvided(t, c, rng, by, true, some(rng, append(kept, stopped...), 40)...)
		if s := n.ProvideStats(); s.Due != 0 || s.Announced != 400 {
			t.Errorf("got %+v, want all announced", s)
		}

		time.Sleep(time.Hour)
		announced := n.ProvideStats().Announced
		startProviding(t, n, false, kept[:10]...) // known
		time.Sleep(5 * time.Second)
		if got := n.ProvideStats().Announced - announced; got > 0 {
			t.Errorf("%d contents that were known are announced again", got)
		}
		startProviding(t, n, true, kept[:10]...)
		time.Sleep(5 * time.Second)
		if got := n.ProvideStats().Announced - announced; got != 10 {
			t.Errorf("%d contents are announced again by force, want 10", got)
		}

		if err := n.StopProviding(stopped...); err != nil {
			t.Fatal(err)
		}
		for day := range 3 {
			time.Sleep(24 * time.Hour)
			checkProvided(t, c, rng, by, true, some(rng, kept, 20)...)
			s := n.ProvideStats()
			t.Logf("day %d: %+v", day, s)
			if s.Keys != 300 || s.Failed != 0 || time.Since(s.LastSweep) > 10*time.Minute || time.Until(s.NextSweep) > 10*time.Minute {
				t.Errorf("day %d: got %+v", day, s)
			}
		}
		checkProvided(t, c, rng, by, false, some(rng, stopped, 20)...)
		// 400 at first, 10 by force, and some of these in the first hour; then 300 in 22 hours.
		if got := n.ProvideStats().Announced; got < 1350 || got > 1450 {
			t.Errorf("%d records were announced, want about 1,400", got)
		}
	})
}

// A node that is started anew goes on: with what was new when it ended, and what
// became due while it was away.
func TestProvidingResumes(t *testing.T) {
	long(t, "days of virtual time")
	const seed, nodes, by = 52, 5, 2
	store := dssync.MutexWrap(ds.NewMapDatastore())
	cfg := seeded(seed, nodes)
	cfg.Options = func(i int) []pastry.Option {
		opts := []pastry.Option{pastry.WithHeartbeat(10 * time.Minute)}
		if i == by || i >= nodes {
			opts = append(opts, pastry.WithDatastore(store))
		}
		return opts
	}
	withRing(t, cfg, func(t *testing.T, c *testutil.Cluster) {
		rng := rand.New(rand.NewPCG(seed, seed))
		announced, added := contents(t, "announced", 200), contents(t, "added", 50)
		restart := func(from int, pause time.Duration, last ...multihash.Multihash) int {
			old := c.Node(from)
			if len(last) > 0 {
				startProviding(t, old, false, last...)
			}
			if err := errors.Join(old.Close(), old.Host().Close()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(pause)
			i, err := c.Add(libp2p.Identity(old.Host().Peerstore().PrivKey(old.Host().ID())))
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Join(within(t, time.Minute), i); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
			return i
		}
		startProviding(t, c.Node(by), false, announced...)
		time.Sleep(time.Minute)

		i := restart(by, time.Second, added...)
		s := c.Node(i).ProvideStats()
		if s.Keys != 250 || s.Due != 0 || s.Announced < 50 || s.Announced > 60 {
			t.Errorf("after a short pause: got %+v, want the 50 new contents announced", s)
		}
		checkProvided(t, c, rng, i, true, some(rng, added, 20)...)

		i = restart(i, 11*time.Hour)
		if s := c.Node(i).ProvideStats(); s.Announced < 90 || s.Announced > 160 {
			t.Errorf("after half a cycle: got %+v, want half of the contents announced", s)
		}
		i = restart(i, 100*time.Hour)
		if s := c.Node(i).ProvideStats(); s.Announced < 250 || s.Announced > 260 {
			t.Errorf("after a long pause: got %+v, want all contents announced once", s)
		}
		checkProvided(t, c, rng, i, true, some(rng, announced, 20)...)
	})
}
