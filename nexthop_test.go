package pastry

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/secondbit/pastry/ring"
)

// rttOf returns the estimate of a link on which round trips always take d.
func rttOf(d Time) (r rtt) {
	r.observe(d)
	return r
}

// know makes n know a member as if it had answered a probe.
func know(n *RawNode, c *Contact, rtt time.Duration) *peerState {
	p := n.peer(c)
	p.live, p.state, p.heard = true, StateActive, n.now
	p.rtt = rttOf(Time(rtt))
	n.admit(p)
	return p
}

// knowing returns an active node at id that knows the others, b bits a digit
// and l leaves, and waits for nothing.
func knowing(t testing.TB, self ring.ID, b, l int, others ...ring.ID) *RawNode {
	t.Helper()
	n, err := NewRawNode(Config{Self: contactAt(self), Rand: rand.New(rand.NewPCG(1, 9)), DigitBits: b, LeafSetSize: l})
	if err != nil {
		t.Fatal(err)
	}
	n.Step(0, Input{Kind: InJoin}, nil)
	for i, id := range others {
		if id != self {
			know(n, contactAt(id), time.Duration(1+i)*time.Millisecond)
		}
	}
	n.take()
	n.stopWaiting()
	return n
}

// activeNode returns an active node that knows the members at the points given.
func activeNode(t testing.TB, self int, others ...int) *RawNode {
	t.Helper()
	var ids []ring.ID
	for _, o := range others {
		ids = append(ids, point(o))
	}
	return knowing(t, point(self), 4, 4, ids...)
}

func skipping(ids ...ring.ID) func(ring.ID) bool {
	return func(id ring.ID) bool { return slices.Contains(ids, id) }
}

// TestNextHop takes the decision of section 2.3 of the Pastry paper apart: leaf
// set first, then the table, then the rare case.
func TestNextHop(t *testing.T) {
	// The leaf set of four is 4f, 4e and 51, 52; the rest are in the table only.
	ids := func(ss ...string) (all []ring.ID) {
		for _, s := range ss {
			all = append(all, hexID(s))
		}
		return all
	}
	n := knowing(t, hexID("50"), 4, 4, ids("4e", "4f", "51", "52", "5a", "5a8", "90", "a0")...)
	wrapping := knowing(t, hexID("01"), 4, 4, ids("fe", "ff", "03", "04", "80")...)
	deep := knowing(t, hexID("1230"), 4, 2, ids("1231", "122f", "1150", "1290", "16")...)
	forgetful := knowing(t, hexID("50"), 4, 4, ids("4e", "4f", "51", "52", "90", "b0")...)
	for _, tt := range []struct {
		name string
		node *RawNode
		key  string
		skip []ring.ID
		want string // empty: deliver
	}{
		{"own id", n, "50", nil, ""},
		{"nearest to self among leaves", n, "504", nil, ""},
		{"middle to the larger leaf goes to the smaller id", n, "508", nil, ""},
		{"middle to the smaller leaf goes to the smaller id", n, "4f8", nil, "4f"},
		{"leaf", n, "518", nil, "51"},
		{"last leaf", n, "52", nil, "52"},
		{"leaf, though the table has one with a longer prefix", n, "519", nil, "52"},
		{"skipped leaf", n, "51", ids("51"), ""},
		{"skipped leaf, next leaf", n, "518", ids("51"), "52"},
		{"table", n, "95", nil, "90"},
		{"table, another column", n, "af", nil, "a0"},
		{"spare or neighbour with more digits", n, "5a8f", nil, "5a8"},
		{"that one skipped", n, "5a8f", ids("5a8"), "5a"},
		{"own row, deeper digit", n, "5a1", nil, "5a"},
		{"rare case: empty entry, a closer one with as long a prefix", n, "7f", nil, "90"},
		{"rare case from below", n, "60", nil, "5a8"},
		{"rare case, skipped", n, "60", ids("5a8"), "5a"},
		{"rare case: nobody closer", n, "60", ids("5a8", "5a", "51", "52"), ""},

		{"over zero, leaf below", wrapping, "ff4", nil, "ff"},
		{"over zero, self", wrapping, "002", nil, ""},
		{"over zero, tie goes to the smaller id", wrapping, "00", nil, ""},
		{"over zero, leaf above", wrapping, "03f", nil, "04"},
		{"over zero, outside", wrapping, "7", nil, "80"},

		{"first row", deep, "17", nil, "16"},
		{"second row", deep, "11", nil, "1150"},
		{"third row", deep, "129f", nil, "1290"},
		{"third row, skipped: as long a prefix and closer", deep, "129f", ids("1290"), "1231"},

		{"dead leaf that the table does not have", forgetful, "51", ids("51"), ""},
		{"primary skipped: a closer one", forgetful, "94", ids("90"), "b0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := ""
			if c, ok := tt.node.NextHop(hexID(tt.key), skipping(tt.skip...)); ok {
				got = c.ID.String()
			}
			want := tt.want
			if want != "" {
				want = hexID(want).String()
			}
			if got != want {
				t.Errorf("next hop to %s is %q, want %q", tt.key, got, want)
			}
		})
	}
}

// TestNextHopOfClient has a client, which is root of nothing, next to the key.
func TestNextHopOfClient(t *testing.T) {
	self := contactAt(hexID("50"))
	self.Client = true
	n, err := NewRawNode(Config{Self: self, Rand: rand.New(rand.NewPCG(1, 9))})
	if err != nil {
		t.Fatal(err)
	}
	n.setState(StateClient)
	if c, ok := n.NextHop(hexID("50"), nil); ok {
		t.Errorf("next hop of a client that knows nobody is %v", c.ID)
	}
	for _, id := range []string{"40", "90", "95"} {
		know(n, contactAt(hexID(id)), time.Millisecond)
	}
	for _, tt := range []struct{ key, want string }{
		{"50", "40"}, {"51", "40"}, {"96", "95"}, {"9f", "90"}, {"80", "90"}, {"00", "40"},
	} {
		c, ok := n.NextHop(hexID(tt.key), nil)
		if !ok || c.ID.Digit(0, 4) != hexID(tt.want).Digit(0, 4) {
			t.Errorf("next hop of a client to %s is %v, want one at %s", tt.key, c.ID, tt.want)
		}
	}
	if len(n.leaves.AppendMembers(nil)) != 0 {
		t.Error("a client has a leaf set")
	}
}

// TestRoutesReachTheRoot follows NextHop through rings in which everybody knows
// all others, as far as the tables have room. Each hop must be at the root, or
// share more digits with the key, or as many and be closer: so there are no
// loops, and no more hops than digits, a leaf and the rare case.
func TestRoutesReachTheRoot(t *testing.T) {
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 10))
		size, b, l := 1+rng.IntN(120), 1+rng.IntN(8), 2*(1+rng.IntN(8))
		ids := randomRing(rng, size)
		nodes := make(map[ring.ID]*RawNode)
		for _, id := range ids {
			nodes[id] = knowing(t, id, b, l, ids...)
		}
		for range 200 {
			key := keyNear(rng, ids)
			at := ids[rng.IntN(size)]
			root := slices.MinFunc(ids, func(x, y ring.ID) int { return ring.CompareDistance(key, x, y) })
			for hops := 0; ; hops++ {
				next, ok := nodes[at].NextHop(key, nil)
				if !ok {
					break
				}
				was, is := ring.SharedPrefixLen(at, key, b), ring.SharedPrefixLen(next.ID, key, b)
				if next.ID != root && (is < was || is == was && !ring.Closer(key, next.ID, at)) {
					t.Fatalf("seed %d: hop from %v to %v on the way to %v makes no progress", seed, at, next.ID, key)
				}
				if at = next.ID; hops > 32 {
					t.Fatalf("seed %d: more than 32 hops to %v", seed, key)
				}
			}
			if at != root {
				t.Fatalf("seed %d: %d nodes, b=%d, L=%d: key %v ends at %v, want its root %v", seed, size, b, l, key, at, root)
			}
		}
	}
}

// randomRing returns size ids, some of them close together.
func randomRing(rng *rand.Rand, size int) []ring.ID {
	ids := make([]ring.ID, size)
	for i := range ids {
		ids[i] = ring.Random(rng)
		if i > 0 && rng.IntN(4) == 0 {
			ids[i] = nearID(rng, ids[i-1])
		}
	}
	slices.SortFunc(ids, ring.ID.Compare)
	return ids
}

// keyNear returns a key: a random one, a node's own id, or the middle between
// two neighbours, where ties are.
func keyNear(rng *rand.Rand, ids []ring.ID) ring.ID {
	i := rng.IntN(len(ids))
	id, next := ids[i], ids[(i+1)%len(ids)]
	switch rng.IntN(4) {
	case 0:
		return id
	case 1:
		return id.Add(ring.Clockwise(id, next).Half())
	}
	return ring.Random(rng)
}

// TestReplicasAndRange compares both with the whole ring sorted: when they
// report ok they are exactly right, and they do whenever the leaf set wraps.
func TestReplicasAndRange(t *testing.T) {
	for size := 1; size <= 60; size++ {
		rng := rand.New(rand.NewPCG(uint64(size), 11))
		ids := randomRing(rng, size)
		for _, l := range []int{2, 8, 24} {
			n := knowing(t, ids[rng.IntN(size)], 4, l, ids...)
			for k := range 11 {
				for range 5 {
					checkReplicas(t, n, ids, keyNear(rng, ids), k)
				}
				for _, c := range n.leaves.AppendMembers([]*Contact{n.self}) {
					checkRange(t, n, ids, c.ID, k, rng)
				}
			}
			if t.Failed() {
				t.Fatalf("with %d nodes and L=%d", size, l)
			}
		}
	}
}

// nearest returns the k ids closest to key.
func nearest(ids []ring.ID, key ring.ID, k int) []ring.ID {
	all := slices.Clone(ids)
	slices.SortFunc(all, func(a, b ring.ID) int { return ring.CompareDistance(key, a, b) })
	return all[:min(k, len(all))]
}

func checkReplicas(t *testing.T, n *RawNode, ids []ring.ID, key ring.ID, k int) {
	t.Helper()
	kept := contactAt(key)
	got, ok := n.Replicas([]*Contact{kept}, key, k)
	if got[0] != kept || !ok && len(got) != 1 {
		t.Fatalf("Replicas changed what it appends to, or appended %d in vain", len(got)-1)
	}
	if n.leaves.Wraps() && !ok {
		t.Errorf("replicas of %v are unknown though the leaf set wraps", key)
	}
	if want := nearest(ids, key, k); ok && !slices.EqualFunc(got[1:], want, func(c *Contact, id ring.ID) bool { return c.ID == id }) {
		t.Errorf("%d replicas of %v are %v, want %v", k, key, got[1:], want)
	}
}

func checkRange(t *testing.T, n *RawNode, ids []ring.ID, member ring.ID, rank int, rng *rand.Rand) {
	t.Helper()
	first, last, ok := n.Range(member, rank)
	if !ok {
		if n.leaves.Wraps() {
			t.Errorf("range of %v at rank %d is unknown though the leaf set wraps", member, rank)
		}
		return
	}
	one := ring.FromUint64s(0, 1)
	whole := last.Add(one) == first
	if want := len(ids) <= rank+1; whole != want {
		t.Errorf("range of %v at rank %d in a ring of %d: whole ring is %t, want %t", member, rank, len(ids), whole, want)
	}
	// The ends, what is right outside of them, and random keys.
	keys := []ring.ID{first, last, first.Sub(one), last.Add(one), member, ring.Random(rng), ring.Random(rng)}
	for _, key := range keys {
		got := ring.Clockwise(first, key).Compare(ring.Clockwise(first, last)) <= 0
		if want := slices.Contains(nearest(ids, key, rank+1), member); got != want {
			t.Errorf("key %v is in the range %v to %v of %v at rank %d: %t, want %t", key, first, last, member, rank, got, want)
		}
	}
}

func TestReplicasUnknown(t *testing.T) {
	n := activeNode(t, 500, 300, 400, 600, 700, 100)
	for _, tt := range []struct {
		name string
		key  int
		k    int
		want bool
	}{
		{"in the middle", 500, 3, true},
		{"none", 500, 0, true},
		{"all that the leaf set surrounds", 500, 5, true},
		{"more than the leaf set has", 500, 6, false},
		{"near the end", 690, 3, false},
		{"outside", 900, 1, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, got := n.Replicas(nil, point(tt.key), tt.k); got != tt.want {
				t.Errorf("replicas are known: %t, want %t", got, tt.want)
			}
		})
	}
	if _, _, ok := n.Range(point(100), 1); ok {
		t.Error("the range of a node outside the leaf set is known")
	}
	if _, _, ok := n.Range(point(500), -1); ok {
		t.Error("the range at a negative rank is known")
	}
	n.setState(StateLeaving)
	if _, ok := n.Replicas(nil, point(500), 1); ok {
		t.Error("a leaving node knows replicas")
	}
	if _, _, ok := n.Range(point(500), 1); ok {
		t.Error("a leaving node knows ranges")
	}
}

// nodeOf returns a node of a ring of size random nodes whose tables were filled
// from all of them.
func nodeOf(tb testing.TB, size int) (*RawNode, *rand.Rand) {
	tb.Helper()
	rng := rand.New(rand.NewPCG(uint64(size), 12))
	n := knowing(tb, ring.Random(rng), 4, 24)
	for range size - 1 {
		c := contactAt(ring.Random(rng))
		n.peer(c).rtt = rttOf(Time(1 + rng.Int64N(1e8)))
		n.table.Insert(c, n.distance)
		n.leaves.Insert(c)
		n.peers.remove(c.ID)
	}
	for _, c := range n.table.AppendAll(n.leaves.AppendMembers(nil)) {
		know(n, c, time.Duration(1+rng.Int64N(1e8)))
	}
	n.take()
	n.stopWaiting()
	return n, rng
}

func TestNextHopDoesNotAllocate(t *testing.T) {
	n, rng := nodeOf(t, 5000)
	dead := n.known[rng.IntN(len(n.known))].c.ID
	for name, skip := range map[string]func(ring.ID) bool{"no skip": nil, "skip": func(id ring.ID) bool { return id == dead }} {
		allocs := testing.AllocsPerRun(2000, func() { n.NextHop(ring.Random(rng), skip) })
		if allocs != 0 {
			t.Errorf("%s: NextHop allocates %g times, want none", name, allocs)
		}
	}
}

func BenchmarkNextHop(b *testing.B) {
	for _, size := range []int{1000, 100_000} {
		b.Run(fmt.Sprint("N=", size), func(b *testing.B) {
			n, rng := nodeOf(b, size)
			var keys [1024]ring.ID
			for i := range keys {
				keys[i] = ring.Random(rng)
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				n.NextHop(keys[i%len(keys)], nil)
				i++
			}
		})
	}
}
