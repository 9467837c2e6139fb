package pastry_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	ds "github.com/ipfs/go-datastore"
	dssync "github.com/ipfs/go-datastore/sync"
	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/testutil"
)

// A node that was closed, or killed, comes back with its key and its datastore,
// on another host at another address, and needs nobody to tell it where to join.
func TestRestart(t *testing.T) {
	closed := func(t *testing.T, c *testutil.Cluster, i int) {
		if err := errors.Join(c.Node(i).Close(), c.Node(i).Host().Close()); err != nil {
			t.Error(err)
		}
	}
	killed := func(t *testing.T, c *testutil.Cluster, i int) {
		if err := c.Node(i).Host().Close(); err != nil {
			t.Error(err)
		}
		c.Crash(i)
	}
	silent := func(_ *testing.T, c *testutil.Cluster, i int) { c.Crash(i) }
	tests := []struct {
		name  string
		end   func(t *testing.T, c *testutil.Cluster, i int)
		pause time.Duration // between the end and the restart
		ahead time.Duration // by how much the clock was ahead before the restart
	}{
		{name: "closed", end: closed, pause: time.Second},
		{name: "killed with its connections", end: killed, pause: time.Second},
		{name: "killed silently", end: silent, pause: time.Second},
		{name: "killed silently long ago", end: silent, pause: 5 * time.Minute},
		{name: "closed, clock goes back", end: closed, pause: time.Second, ahead: 1000 * time.Hour},
		{name: "killed silently, clock goes back", end: silent, pause: time.Second, ahead: 1000 * time.Hour},
	}
	const nodes, restarted = 8, 3
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			store := dssync.MutexWrap(ds.NewMapDatastore())
			cfg := seeded(31, nodes)
			cfg.Options = func(i int) []pastry.Option {
				switch {
				case i == restarted && tt.ahead > 0:
					future := time.Now().Add(tt.ahead).UnixNano()
					if err := pastry.UseEpoch(t.Context(), store, uint64(future)); err != nil {
						t.Error(err)
					}
				case i != restarted && i != nodes:
					return nil
				}
				return []pastry.Option{pastry.WithDatastore(store)}
			}
			withRing(t, cfg, func(t *testing.T, c *testutil.Cluster) {
				time.Sleep(10 * time.Second) // contacts are saved a little after they change
				old := c.Node(restarted)
				tt.end(t, c, restarted)
				time.Sleep(tt.pause)

				i, err := c.Add(libp2p.Identity(old.Host().Peerstore().PrivKey(old.Host().ID())))
				if err != nil {
					t.Fatal(err)
				}
				if got := c.Node(i).ID(); got != old.ID() {
					t.Fatalf("id of the restarted node: got %v, want %v", got, old.ID())
				}
				start := time.Now()
				if err := c.Node(i).Join(within(t, 30*time.Second)); err != nil {
					t.Fatal(err)
				}
				t.Logf("rejoined after %v", time.Since(start))
				t.Logf("exact %v later", settle(t, c, time.Minute))
				if got := len(c.Oracle().Members()); got != nodes {
					t.Errorf("%d members, want %d: the restarted node is alone", got, nodes)
				}
				checkRoots(t, c, 50)
			})
		})
	}
}

// slowStore takes longer to write contacts than a node to join, in the virtual time of
// withRing.
type slowStore struct{ ds.Batching }

func (s slowStore) Put(ctx context.Context, k ds.Key, v []byte) error {
	if k.Name() == "contacts" {
		time.Sleep(5 * time.Second)
	}
	return s.Batching.Put(ctx, k, v)
}

// A node is closed as soon as it has come to know another, while those it knew
// before are still being saved: it is that one it may have to rejoin through.
func TestCloseSavesContacts(t *testing.T) {
	const nodes, closed, late = 4, 4, 5
	store := slowStore{dssync.MutexWrap(ds.NewMapDatastore())}
	cfg := seeded(32, nodes)
	cfg.Options = func(i int) []pastry.Option {
		if i != closed {
			return nil
		}
		return []pastry.Option{pastry.WithDatastore(store)}
	}
	withRing(t, cfg, func(t *testing.T, c *testutil.Cluster) {
		for through, i := range []int{closed, late} {
			if _, err := c.Add(); err != nil {
				t.Fatal(err)
			}
			if err := c.Node(i).Join(within(t, 5*time.Second), *host.InfoFromHost(c.Node(through).Host())); err != nil {
				t.Fatal(err)
			}
		}
		settle(t, c, 2*time.Second)
		n := c.Node(closed)
		want := n.Neighbors()
		if p := c.Node(late).Host().ID(); !slices.Contains(want, p) {
			t.Fatalf("neighbours: got %v, want %v among them", want, p)
		}
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
		saved, err := pastry.SavedPeers(t.Context(), store)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range want {
			if !slices.Contains(saved, p) {
				t.Errorf("contacts saved: got %v, want %v among them", saved, p)
			}
		}
	})
}
