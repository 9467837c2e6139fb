package pastry_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multihash"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/ring"
	"github.com/secondbit/pastry/testutil"
)

// numbered is a validator of values that begin with a number, of which the
// larger is better.
type numbered struct{}

func (numbered) Validate(_ string, value []byte) error {
	if len(value) < 8 {
		return errors.New("no number")
	}
	return nil
}

func (numbered) Select(_ string, values [][]byte) (int, error) {
	best := 0
	for i, v := range values {
		if bytes.Compare(v[:8], values[best][:8]) > 0 {
			best = i
		}
	}
	return best, nil
}

var withNumbers = pastry.WithNamespacedValidator("n", numbered{})

func numberedValue(number uint64, text string) []byte {
	return append(binary.BigEndian.AppendUint64(nil, number), text...)
}

// stock is what was stored in a ring: who provides what, and values.
type stock struct {
	providers map[string]peer.ID // by multihash
	values    map[string][]byte  // by key
}

func newStock() *stock {
	return &stock{providers: make(map[string]peer.ID), values: make(map[string][]byte)}
}

// together calls f for 0 to n-1, up to 64 at a time, and returns the errors.
func together(n int, f func(i int) error) error {
	var wg sync.WaitGroup
	tokens := make(chan struct{}, 64)
	errs := make([]error, n)
	for i := range n {
		tokens <- struct{}{}
		wg.Go(func() {
			defer func() { <-tokens }()
			errs[i] = f(i)
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// fill stores provider records and values from given nodes in turn, and fails the
// test when one is not acknowledged.
func (s *stock) fill(t *testing.T, c *testutil.Cluster, from []int, prefix string, providers, values int) {
	t.Helper()
	keys := make([][]multihash.Multihash, len(from))
	for i := range providers {
		mh, err := multihash.Sum([]byte(fmt.Sprint(prefix, "content", i)), multihash.SHA2_256, -1)
		if err != nil {
			t.Fatal(err)
		}
		at := i % len(from)
		keys[at] = append(keys[at], mh)
		s.providers[string(mh)] = c.Node(from[at]).Host().ID()
	}
	for i := range values {
		s.values[fmt.Sprint("/n/", prefix, i)] = numberedValue(1, fmt.Sprint(prefix, "value", i))
	}
	ctx := within(t, 2*time.Minute)
	if err := together(len(from), func(i int) error { return c.Node(from[i]).ProvideMany(ctx, keys[i]) }); err != nil {
		t.Fatal(err)
	}
	names := sortedKeys(s.values)
	if err := together(len(names), func(i int) error {
		return c.Node(from[i%len(from)]).PutValue(ctx, names[i], s.values[names[i]])
	}); err != nil {
		t.Fatal(err)
	}
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// missing looks for all of the stock, each from another of the given nodes, and
// returns what is not found within the time, which is for each alone.
func (s *stock) missing(t *testing.T, c *testutil.Cluster, from []int, each time.Duration) []string {
	t.Helper()
	var mu sync.Mutex
	var missing []string
	mhs, names := sortedKeys(s.providers), sortedKeys(s.values)
	_ = together(len(mhs)+len(names), func(i int) error {
		n := c.Node(from[i%len(from)])
		ctx, cancel := context.WithTimeout(t.Context(), each)
		defer cancel()
		ok, what := false, ""
		if i < len(mhs) {
			what = mhs[i]
			ok = provides(ctx, n, multihash.Multihash(what), s.providers[what])
		} else {
			what = names[i-len(mhs)]
			got, err := n.GetValue(ctx, what)
			ok = err == nil && bytes.Equal(got, s.values[what])
		}
		if !ok {
			mu.Lock()
			missing = append(missing, what)
			mu.Unlock()
		}
		return nil
	})
	slices.Sort(missing)
	return missing
}

// provides reports whether a node finds a provider, with addresses.
func provides(ctx context.Context, n *pastry.Node, mh multihash.Multihash, want peer.ID) bool {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for p := range n.FindProvidersAsync(ctx, cid.NewCidV1(cid.Raw, mh), 0) {
		if p.ID == want && len(p.Addrs) > 0 {
			return true
		}
	}
	return false
}

// replicas returns for each record of the stock how many live nodes hold it.
func (s *stock) replicas(c *testutil.Cluster) map[string]int {
	count := make(map[string]int)
	for i := range c.Len() {
		if !c.Live(i) {
			continue
		}
		for mh, p := range s.providers {
			if c.Node(i).HoldsProvider(multihash.Multihash(mh), p) {
				count[mh]++
			}
		}
		for key := range s.values {
			if c.Node(i).HoldsValue(key) {
				count[key]++
			}
		}
	}
	return count
}

// awaitReplicas waits until every record of the stock but some is held by exactly
// r nodes.
func (s *stock) awaitReplicas(t *testing.T, c *testutil.Cluster, r int, limit time.Duration, but ...string) time.Duration {
	t.Helper()
	start := time.Now()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		count := s.replicas(c)
		few, many := 0, 0
		for _, what := range append(sortedKeys(s.providers), sortedKeys(s.values)...) {
			switch n := count[what]; {
			case slices.Contains(but, what):
			case n < r:
				few++
			case n > r:
				many++
			}
		}
		if few+many == 0 {
			return time.Since(start)
		}
		if time.Since(start) > limit {
			t.Errorf("after %v: %d records have fewer than %d replicas, %d have more", limit, few, r, many)
			return limit
		}
		<-tick.C
	}
}

// Nothing acknowledged is lost though every node that was there is replaced.
func TestReplaceEveryNode(t *testing.T) {
	long(t, "makes 128 hosts")
	const nodes = 64
	withRing(t, seeded(64, nodes, withNumbers), func(t *testing.T, c *testutil.Cluster) {
		s := newStock()
		s.fill(t, c, upTo(0, nodes), "", 2000, 500)
		for i := range nodes {
			j, err := c.Add()
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Join(within(t, time.Minute), j); err != nil {
				t.Fatal(err)
			}
			if i%2 == 0 {
				if err := c.Node(i).Close(); err != nil {
					t.Fatal(err)
				}
			} else {
				c.Crash(i)
			}
		}
		if missing := s.missing(t, c, upTo(nodes, 2*nodes), 10*time.Second); len(missing) > 0 {
			t.Errorf("%d of 2500 records are lost: %.200q", len(missing), missing)
		}
		t.Logf("all records at 8 replicas after %v", s.awaitReplicas(t, c, 8, 5*time.Minute))
	})
}

// When 30 of 100 nodes crash at once, only records are lost whose whole replica
// set crashed.
func TestManyCrash(t *testing.T) {
	long(t, "makes 100 hosts")
	const nodes, crashed, records = 100, 30, 2000
	withRing(t, seeded(30, nodes), func(t *testing.T, c *testutil.Cluster) {
		s := newStock()
		s.fill(t, c, upTo(crashed, nodes), "", records, 0)
		s.awaitReplicas(t, c, 8, time.Minute)
		o := c.Oracle()
		var dead []string // their whole replica set
		gone := upTo(0, crashed)
		for _, mh := range sortedKeys(s.providers) {
			if !slices.ContainsFunc(o.Replicas(ring.FromMultihash([]byte(mh)), 8), func(p peer.ID) bool { return !slices.Contains(gone, c.Index(p)) }) {
				dead = append(dead, mh)
			}
		}
		c.Crash(gone...)
		start := time.Now()
		missing := s.missing(t, c, upTo(crashed, nodes), 10*time.Second)
		for _, mh := range missing {
			if !slices.Contains(dead, mh) {
				t.Errorf("record %x is not found, though not all its replicas crashed", mh[2:6])
			}
		}
		took := time.Since(start)
		t.Logf("%d of %d records lost, %d had no replica left; the rest found within %v", len(missing), records, len(dead), took)
		if took > 10*time.Second {
			t.Errorf("looking for all took %v, want at most 10s", took)
		}
		t.Logf("back at 8 replicas after %v", s.awaitReplicas(t, c, 8, 2*time.Minute-time.Since(start), dead...))
	})
}

// A ring that was split, and written to on both sides, has all of it when it is
// whole again, and of each value the best.
func TestSplitWithWrites(t *testing.T) {
	long(t, "makes 24 hosts")
	const nodes = 24
	withRing(t, seeded(6, nodes, withNumbers), func(t *testing.T, c *testutil.Cluster) {
		s := newStock()
		s.fill(t, c, upTo(0, nodes), "before", 200, 0)
		half := upTo(0, nodes/2)
		other := upTo(nodes/2, nodes)
		c.Partition(half, other)
		if err := c.Settle(within(t, 2*time.Minute)); err != nil {
			t.Fatal(err)
		}
		s.fill(t, c, half, "half", 200, 0)
		s.fill(t, c, other, "other", 200, 0)
		for i := range 100 {
			key := fmt.Sprint("/n/both", i)
			low, high := half, other
			if i%2 == 0 {
				low, high = other, half
			}
			if err := c.Node(low[i%len(low)]).PutValue(within(t, time.Minute), key, numberedValue(1, "worse")); err != nil {
				t.Fatal(err)
			}
			s.values[key] = numberedValue(2, "better")
			if err := c.Node(high[i%len(high)]).PutValue(within(t, time.Minute), key, s.values[key]); err != nil {
				t.Fatal(err)
			}
		}
		c.Heal()
		healed := settle(t, c, 2*time.Minute)
		t.Logf("one ring after %v, all records at 8 replicas after %v more", healed, s.awaitReplicas(t, c, 8, 2*time.Minute))
		if missing := s.missing(t, c, upTo(0, nodes), 10*time.Second); len(missing) > 0 {
			t.Errorf("%d of 700 records are lost: %.200q", len(missing), missing)
		}
	})
}
