package testutil_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/ring"
	"github.com/secondbit/pastry/testutil"
)

// within returns a context of the test that ends after d.
func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func start(t *testing.T, c *testutil.Cluster) {
	t.Helper()
	if err := c.Start(within(t, 10*time.Minute)); err != nil {
		t.Fatal(err)
	}
	settle(t, c, time.Minute)
}

func settle(t *testing.T, c *testutil.Cluster, limit time.Duration) {
	t.Helper()
	if err := c.Settle(within(t, limit)); err != nil {
		t.Fatal(err)
	}
}

func checkRoots(t *testing.T, c *testutil.Cluster, keys int) {
	t.Helper()
	if err := c.CheckRoots(within(t, 30*time.Second), c.RandomKeys(keys)...); err != nil {
		t.Error(err)
	}
}

func TestClusterStarts(t *testing.T) {
	for name, nodes := range map[string]int{"alone": 1, "pair": 2, "fewer than leaves": 9, "more than leaves": 14} {
		t.Run(name, func(t *testing.T) {
			cfg := testutil.ClusterConfig{Network: testutil.NetworkConfig{Seed: 3}, Nodes: nodes, LeafSetSize: 8}
			testutil.WithCluster(t, cfg, func(t *testing.T, c *testutil.Cluster) {
				start(t, c)
				checkRoots(t, c, 3*nodes)
				if got := len(c.Oracle().Members()); got != nodes {
					t.Errorf("%d members, want %d", got, nodes)
				}
			})
		})
	}
}

func TestClusterGrows(t *testing.T) {
	cfg := testutil.ClusterConfig{Network: testutil.NetworkConfig{Seed: 4}, Nodes: 3}
	testutil.WithCluster(t, cfg, func(t *testing.T, c *testutil.Cluster) {
		start(t, c)
		var wg sync.WaitGroup
		for range 3 {
			i, err := c.Add()
			if err != nil {
				t.Fatal(err)
			}
			if c.Live(i) {
				t.Errorf("node %d lives before it joined", i)
			}
			wg.Go(func() {
				if err := c.Join(within(t, time.Minute), i); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		settle(t, c, time.Minute)
		if got, want := len(c.Oracle().Members()), 6; got != want {
			t.Errorf("%d members, want %d", got, want)
		}
	})
}

func TestClusterCrash(t *testing.T) {
	cfg := testutil.ClusterConfig{Network: testutil.NetworkConfig{Seed: 5}, Nodes: 8}
	testutil.WithCluster(t, cfg, func(t *testing.T, c *testutil.Cluster) {
		start(t, c)
		c.Crash(2, 5)
		if c.Live(2) || !c.Live(3) {
			t.Errorf("live: got %v, %v for nodes 2, 3, want false, true", c.Live(2), c.Live(3))
		}

		err := c.Settle(within(t, 10*time.Millisecond))
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("Settle right after a crash: got %v, want %v", err, context.DeadlineExceeded)
		}
		for _, want := range []string{"smaller leaves", "larger leaves", "node 2", "in excess", "more"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("the error does not say %q:\n%v", want, err)
			}
		}

		settle(t, c, time.Minute)
		checkRoots(t, c, 20)
		c.Revive(2, 5)
		settle(t, c, 2*time.Minute)
		if got := len(c.Oracle().Members()); got != 8 {
			t.Errorf("%d members after the revival, want 8", got)
		}
	})
}

func TestClusterPartition(t *testing.T) {
	cfg := testutil.ClusterConfig{Network: testutil.NetworkConfig{Seed: 6}, Nodes: 7}
	testutil.WithCluster(t, cfg, func(t *testing.T, c *testutil.Cluster) {
		start(t, c)
		c.Partition([]int{0, 1, 2}, []int{3, 4})
		settle(t, c, time.Minute) // each part by itself
		checkRoots(t, c, 20)
		if err := c.Oracle().CheckLeafSets(t.Context()); err == nil {
			t.Error("leaf sets of the whole ring are exact during a partition")
		}
		if err := c.Oracle(3, 4).CheckLeafSets(t.Context()); err != nil {
			t.Error(err)
		}
		c.Heal()
		settle(t, c, 3*time.Minute)
		checkRoots(t, c, 20)
	})
}

func TestCheckRootsNamesTheFault(t *testing.T) {
	cfg := testutil.ClusterConfig{Network: testutil.NetworkConfig{Seed: 7}, Nodes: 4}
	testutil.WithCluster(t, cfg, func(t *testing.T, c *testutil.Cluster) {
		if err := c.CheckRoots(t.Context(), c.RandomKeys(1)...); err == nil {
			t.Error("no error without members")
		}
		start(t, c)
		c.Crash(0, 1, 2) // the survivor still takes the others for roots
		root := c.Node(0).ID()
		err := c.CheckRoots(within(t, 100*time.Millisecond), root)
		if err == nil || !strings.Contains(err.Error(), "node 3") {
			t.Errorf("a message that cannot arrive in time: got %v, want an error about node 3", err)
		}
	})
}

func TestOracle(t *testing.T) {
	const nodes, half = 11, 2
	cfg := testutil.ClusterConfig{Network: testutil.NetworkConfig{Seed: 8}, Nodes: nodes, LeafSetSize: 2 * half}
	testutil.WithCluster(t, cfg, func(t *testing.T, c *testutil.Cluster) {
		start(t, c)
		o := c.Oracle()
		members := o.Members()
		if !slices.IsSortedFunc(members, func(a, b *pastry.Node) int { return a.ID().Compare(b.ID()) }) {
			t.Error("members are not in the order of their ids")
		}
		for at, n := range members {
			smaller, larger, ok := o.Leaves(n.Host().ID())
			id := func(k int) peer.ID { return members[(at+k+nodes)%nodes].Host().ID() }
			if !ok {
				t.Fatalf("member %d has no leaves", at)
			}
			if diff := cmp.Diff([][]peer.ID{{id(-1), id(-2)}, {id(1), id(2)}}, [][]peer.ID{smaller, larger}); diff != "" {
				t.Errorf("leaves of member %d (-want +got):\n%s", at, diff)
			}
			if got := o.Root(n.ID()); got != n {
				t.Errorf("root of member %d's own id: got %v", at, got.ID())
			}
			replicas := o.Replicas(n.ID(), 3)
			if got, ok := n.ReplicaSet(n.ID(), 3); !ok || !slices.Equal(got, replicas) {
				t.Errorf("replicas at member %d: got %v, %v, want %v", at, got, ok, replicas)
			}
		}
		if got := len(o.Replicas(members[0].ID(), 100)); got != nodes {
			t.Errorf("%d replicas of a hundred, want all %d members", got, nodes)
		}
		if _, _, ok := o.Leaves("stranger"); ok {
			t.Error("a stranger has leaves")
		}
		if err := testutil.NewOracle(2*half, members...).CheckLeafSets(t.Context()); err != nil {
			t.Error(err)
		}
		if err := testutil.NewOracle(2*half, members[1:]...).CheckLeafSets(t.Context()); err == nil {
			t.Error("an oracle that leaves a member out finds nothing wrong")
		}
	})
	empty := testutil.NewOracle(24)
	if got := empty.Root(ring.ID{}); got != nil {
		t.Errorf("root in an empty ring: got %v", got)
	}
}

func TestClusterIndex(t *testing.T) {
	testutil.WithCluster(t, testutil.ClusterConfig{Nodes: 2}, func(t *testing.T, c *testutil.Cluster) {
		stranger, err := c.Network().NewHost() // takes an index of the network
		if err != nil {
			t.Fatal(err)
		}
		i, err := c.Add()
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Index(c.Node(i).Host().ID()); got != i || i != 2 || c.Len() != 3 {
			t.Errorf("index of the third node: got %d, %d, of %d nodes", got, i, c.Len())
		}
		if got := c.Index(stranger.ID()); got != -1 {
			t.Errorf("index of a stranger: got %d, want -1", got)
		}
		start(t, c)
		c.Crash(i)
		if !c.Network().Crashed(3) || c.Network().Crashed(2) {
			t.Error("the crash of the third node hit another host")
		}
	})
}

func TestClusterErrors(t *testing.T) {
	tests := []struct {
		name string
		cfg  testutil.ClusterConfig
		want string
	}{
		{"network", testutil.ClusterConfig{Network: testutil.NetworkConfig{Loss: 2}}, "loss"},
		{"leaf set size", testutil.ClusterConfig{Nodes: 1, LeafSetSize: 3}, "leaf"},
		{"option", testutil.ClusterConfig{Nodes: 2, Options: func(i int) []pastry.Option {
			if i == 1 {
				return []pastry.Option{pastry.WithDigitBits(9)}
			}
			return nil
		}}, "node 1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, err := testutil.NewCluster(tt.cfg)
				if err == nil || !strings.Contains(strings.ToLower(err.Error()), tt.want) {
					t.Errorf("NewCluster: got %v, want an error that says %q", err, tt.want)
				}
			})
		})
	}
}
