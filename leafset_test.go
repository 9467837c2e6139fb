package pastry

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/secondbit/pastry/ring"
)

// point returns the id at n of 1000 equal steps round the ring, which may be
// negative. Points are far enough from each other to be told apart by digits.
func point(n int) ring.ID {
	const step = math.MaxUint64/1000 + 1
	return ring.FromUint64s(uint64(n)*step, 0)
}

// contactAt returns a contact that sits at id. Its identity is its id's text, so
// that failures can be read.
func contactAt(id ring.ID) *Contact {
	return &Contact{ID: id, Peer: PeerID(id.String()), Epoch: 1}
}

func contactsAt(ids ...ring.ID) []*Contact {
	var cs []*Contact
	for _, id := range ids {
		cs = append(cs, contactAt(id))
	}
	return cs
}

// points returns where contacts sit, in steps as point takes them, for
// comparison.
func points(cs []*Contact) []int {
	got := []int{}
	for _, c := range cs {
		hi, _ := c.ID.Uint64s()
		got = append(got, int(math.Round(float64(hi)/(1<<64)*1000)))
	}
	return got
}

func leafSetOf(self, size int, members ...int) *LeafSet {
	l := NewLeafSet(point(self), size)
	for _, m := range members {
		l.Insert(contactAt(point(m)))
	}
	return l
}

func wantPoints(t *testing.T, what string, cs []*Contact, want ...int) {
	t.Helper()
	if diff := cmp.Diff(points(cs), append([]int{}, want...)); diff != "" {
		t.Errorf("%s is not as wanted (-got +want):\n%s", what, diff)
	}
}

func TestLeafSetSides(t *testing.T) {
	for _, tt := range []struct {
		name            string
		self            int
		insert          []int
		smaller, larger []int
	}{
		{"empty", 500, nil, nil, nil},
		{"one is on both sides", 500, []int{600}, []int{600}, []int{600}},
		{"small ring", 500, []int{600, 400}, []int{400, 600}, []int{600, 400}},
		{"full", 500, []int{600, 700, 400, 300}, []int{400, 300}, []int{600, 700}},
		{"nearest win", 500, []int{900, 100, 600, 700, 400, 300}, []int{400, 300}, []int{600, 700}},
		{"farther are put out", 500, []int{600, 700, 400, 300, 510, 490}, []int{490, 400}, []int{510, 600}},
		{"round zero", 0, []int{10, 20, 980, 990, 500}, []int{990, 980}, []int{10, 20}},
		{"below zero", 999, []int{1, 2, 3, 997, 998}, []int{998, 997}, []int{1, 2}},
		{"all on one arc", 500, []int{510, 520, 530, 540}, []int{540, 530}, []int{510, 520}},
		{"self never enters", 500, []int{500, 600}, []int{600}, []int{600}},
		{"the same twice", 500, []int{600, 600, 600}, []int{600}, []int{600}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := leafSetOf(tt.self, 4, tt.insert...)
			wantPoints(t, "the smaller side", l.Smaller(), tt.smaller...)
			wantPoints(t, "the larger side", l.Larger(), tt.larger...)
		})
	}
}

func TestLeafSetMembersGoUpTheRing(t *testing.T) {
	for _, tt := range []struct {
		name   string
		set    *LeafSet
		expect []int
	}{
		{"empty", leafSetOf(500, 4), nil},
		{"two sides", leafSetOf(500, 4, 600, 400, 700, 300), []int{300, 400, 600, 700}},
		{"round zero", leafSetOf(0, 4, 990, 10, 20, 980), []int{980, 990, 10, 20}},
		{"each once", leafSetOf(500, 8, 600, 700, 800), []int{600, 700, 800}},
		{"sides overlap", leafSetOf(500, 4, 600, 700, 400), []int{400, 600, 700}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			wantPoints(t, "the list of members", tt.set.AppendMembers(nil), tt.expect...)
		})
	}
}

func TestLeafSetNeighbors(t *testing.T) {
	l := leafSetOf(0, 4)
	if l.Left() != nil || l.Right() != nil {
		t.Errorf("neighbours of an empty set are %v and %v, want none", l.Left(), l.Right())
	}
	l = leafSetOf(0, 4, 10, 20, 980, 990)
	wantPoints(t, "the left and right neighbour", []*Contact{l.Left(), l.Right()}, 990, 10)
	l.Remove(point(990))
	l.Remove(point(10))
	wantPoints(t, "the next left and right neighbour", []*Contact{l.Left(), l.Right()}, 980, 20)
}

func TestLeafSetReplacesContact(t *testing.T) {
	l := leafSetOf(500, 4, 600)
	before := l.version
	newer := contactAt(point(600))
	newer.Epoch = 2
	if l.Insert(newer) {
		t.Error("a member inserted again changed the membership")
	}
	if l.version != before {
		t.Errorf("version is %d, want %d as before", l.version, before)
	}
	for _, got := range []*Contact{l.Get(point(600)), l.Left(), l.Right()} {
		if got != newer {
			t.Errorf("member has epoch %d, want the contact with epoch 2", got.Epoch)
		}
	}
}

func TestLeafSetVersion(t *testing.T) {
	l := leafSetOf(500, 2)
	for _, step := range []struct {
		what   string
		do     func() bool
		change bool
	}{
		{"insert 600", func() bool { return l.Insert(contactAt(point(600))) }, true},
		{"insert 600 again", func() bool { return l.Insert(contactAt(point(600))) }, false},
		{"insert 400", func() bool { return l.Insert(contactAt(point(400))) }, true},
		{"insert 700, too far", func() bool { return l.Insert(contactAt(point(700))) }, false},
		{"remove 700, not there", func() bool { return l.Remove(point(700)) }, false},
		{"remove self", func() bool { return l.Remove(point(500)) }, false},
		{"insert self", func() bool { return l.Insert(contactAt(point(500))) }, false},
		{"remove 600", func() bool { return l.Remove(point(600)) }, true},
	} {
		before := l.version
		if got := step.do(); got != step.change {
			t.Errorf("%s: changed is %t, want %t", step.what, got, step.change)
		}
		if got := l.version > before; got != step.change {
			t.Errorf("%s: version went from %d to %d", step.what, before, l.version)
		}
	}
}

func TestLeafSetCovers(t *testing.T) {
	full := leafSetOf(500, 4, 300, 400, 600, 700)
	overZero := leafSetOf(0, 4, 10, 20, 980, 990)
	lopsided := leafSetOf(500, 4, 600, 700, 400, 300)
	lopsided.Remove(point(600))
	lopsided.Remove(point(700))
	one := ring.FromUint64s(0, 1)
	for _, tt := range []struct {
		name string
		set  *LeafSet
		key  ring.ID
		want bool
	}{
		{"self", full, point(500), true},
		{"inside", full, point(650), true},
		{"last on the larger side", full, point(700), true},
		{"beyond the larger side", full, point(700).Add(one), false},
		{"last on the smaller side", full, point(300), true},
		{"beyond the smaller side", full, point(300).Sub(one), false},
		{"opposite", full, point(0), false},
		{"above zero", overZero, point(15), true},
		{"below zero", overZero, point(985), true},
		{"end above zero", overZero, point(20), true},
		{"past the end above zero", overZero, point(20).Add(one), false},
		{"end below zero", overZero, point(980), true},
		{"past the end below zero", overZero, point(980).Sub(one), false},
		{"empty set", leafSetOf(500, 4), point(0), true},
		{"two nodes", leafSetOf(500, 4, 600), point(0), true},
		{"sides overlap", leafSetOf(500, 4, 300, 600, 700), point(0), true},
		{"on the side that is lost", lopsided, point(510), false},
		{"on the side that is left", lopsided, point(450), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.set.Covers(tt.key); got != tt.want {
				t.Errorf("Covers(%v) is %t, want %t", tt.key, got, tt.want)
			}
		})
	}
}

// TestLeafSetClosestTies has keys in the middle between two nodes: the one with
// the smaller id is root, on either side of self and over the zero of the ring.
func TestLeafSetClosestTies(t *testing.T) {
	l := leafSetOf(500, 4, 300, 400, 600, 700)
	zero := leafSetOf(0, 4, 20, 40, 960, 980)
	for _, tt := range []struct {
		name string
		set  *LeafSet
		key  int
		skip []int
		want int
	}{
		{"self between itself and a larger one", l, 550, nil, 500},
		{"the smaller between it and self", l, 450, nil, 400},
		{"of two larger", l, 650, nil, 600},
		{"of two smaller", l, 350, nil, 300},
		{"exact hit", l, 700, nil, 700},
		{"own id", l, 500, nil, 500},
		{"skipped hit", l, 600, []int{600}, 500},
		{"skipped all larger", l, 700, []int{600, 700}, 500},
		{"skipped all on the way", l, 300, []int{300}, 400},
		{"self as zero", zero, 10, nil, 0},
		{"self is the smaller number", zero, 990, nil, 0},
		{"above zero", zero, 30, nil, 20},
		{"below zero", zero, 970, nil, 960},
	} {
		t.Run(tt.name, func(t *testing.T) {
			skip := func(id ring.ID) bool {
				return slices.ContainsFunc(tt.skip, func(n int) bool { return point(n) == id })
			}
			got := tt.set.self
			if c := tt.set.Closest(point(tt.key), skip); c != nil {
				got = c.ID
			}
			if got != point(tt.want) {
				t.Errorf("closest to %d is %v, want %v", tt.key, got, point(tt.want))
			}
		})
	}
}

// TestLeafSetEstimate checks the estimate of the ring's size: exact when the
// set spans the ring, else within what the density of L random ids allows.
func TestLeafSetEstimate(t *testing.T) {
	for _, size := range []int{1, 2, 3, 10, 24, 25, 100, 1000, 10000} {
		t.Run(fmt.Sprint("N=", size), func(t *testing.T) {
			const rounds = 20
			rng := rand.New(rand.NewPCG(uint64(size), 1))
			sum := 0.0
			for range rounds {
				l := NewLeafSet(ring.Random(rng), 24)
				for range size - 1 {
					l.Insert(contactAt(ring.Random(rng)))
				}
				got := l.EstimateSize()
				sum += math.Log(got / float64(size))
				if size <= 24 && got != float64(size) {
					t.Fatalf("estimate is %g, want it exact", got)
				}
				if got < float64(size)/3 || got > float64(size)*3 {
					t.Errorf("estimate is %g, want within three times", got)
				}
			}
			if mean := math.Exp(sum / rounds); mean < 0.8 || mean > 1.25 {
				t.Errorf("estimates are %.2f times the size in the mean, want within a quarter", mean)
			}
		})
	}
}

// leafModel is a leaf set worked out anew from the list of members: what the
// set holds after any operations. A member stays on the sides it is on until it
// is removed or displaced, so the model keeps each side as a plain list. As long as
// the set goes all the way round, each has the nearest of all members.
type leafModel struct {
	self  ring.ID
	half  int
	sides [2][]ring.ID // 0 smaller, 1 larger; nearest first
}

func (m *leafModel) walk(side int, id ring.ID) ring.ID {
	if side == 1 {
		return id.Sub(m.self)
	}
	return m.self.Sub(id)
}

func (m *leafModel) insert(id ring.ID) (changed bool) {
	var takes [2]bool
	for i, side := range m.sides {
		rank := 0
		for _, o := range side {
			rank += boolToInt(m.walk(i, o).Compare(m.walk(i, id)) < 0)
		}
		takes[i] = id != m.self && !slices.Contains(side, id) && rank < m.half &&
			(m.wraps() || len(side) == m.half || rank < len(side) || m.atEnd(i, id))
	}
	for i, side := range m.sides {
		if !takes[i] {
			continue
		}
		side = append(slices.Clone(side), id)
		slices.SortFunc(side, func(a, b ring.ID) int { return m.walk(i, a).Compare(m.walk(i, b)) })
		m.sides[i] = side[:min(m.half, len(side))]
		changed = true
	}
	if m.wraps() {
		m.fill()
	}
	return changed
}

// atEnd says whether a side of a set that does not go all the way round, and that has
// room, takes id as its last.
func (m *leafModel) atEnd(side int, id ring.ID) bool {
	other := m.sides[1-side]
	beyond := !slices.ContainsFunc(other, func(o ring.ID) bool { return m.walk(1-side, o).Compare(m.walk(1-side, id)) >= 0 })
	switch {
	case len(m.sides[side]) == 0:
		return !slices.Contains(other, id) || other[len(other)-1] == id
	case len(other) == 0 || !beyond:
		return false
	}
	nearer := m.walk(side, id).Compare(m.walk(1-side, id))
	return len(other) == m.half || nearer < 0 || nearer == 0 && side == 1
}

// fill gives each side the nearest of all members.
func (m *leafModel) fill() {
	all := m.members()
	for i := range m.sides {
		side := slices.Clone(all)
		slices.SortFunc(side, func(a, b ring.ID) int { return m.walk(i, a).Compare(m.walk(i, b)) })
		m.sides[i] = side[:min(m.half, len(side))]
	}
}

func (m *leafModel) remove(id ring.ID) (was bool) {
	if m.wraps() {
		defer m.fill()
	}
	for i, side := range m.sides {
		if at := slices.Index(side, id); at >= 0 {
			m.sides[i] = slices.Delete(slices.Clone(side), at, at+1)
			was = true
		}
	}
	return was
}

// members returns each member once, by id.
func (m *leafModel) members() []ring.ID {
	all := slices.Concat(m.sides[0], m.sides[1])
	slices.SortFunc(all, ring.ID.Compare)
	return slices.Compact(all)
}

// wraps says whether going up from the farthest smaller one over self to the
// farthest larger one passes some point twice.
func (m *leafModel) wraps() bool {
	if len(m.sides[0]) == 0 || len(m.sides[1]) == 0 {
		return len(m.sides[0]) == len(m.sides[1])
	}
	down, up := m.sides[0][len(m.sides[0])-1], m.sides[1][len(m.sides[1])-1]
	return up == down || m.walk(1, down).Compare(m.walk(1, up)) <= 0
}

func (m *leafModel) check(t *testing.T, l *LeafSet, keys []ring.ID) {
	t.Helper()
	ids := func(cs []*Contact) []ring.ID {
		var ids []ring.ID
		for _, c := range cs {
			ids = append(ids, c.ID)
		}
		return ids
	}
	if !slices.Equal(ids(l.Smaller()), m.sides[0]) || !slices.Equal(ids(l.Larger()), m.sides[1]) {
		t.Fatalf("sides are %v and %v, want %v", ids(l.Smaller()), ids(l.Larger()), m.sides)
	}
	got := ids(l.AppendMembers(nil))
	for i := 1; i < len(got); i++ {
		if ring.Clockwise(got[0], got[i-1]).Compare(ring.Clockwise(got[0], got[i])) >= 0 {
			t.Fatalf("members do not go up the ring from the first: %v", got)
		}
	}
	slices.SortFunc(got, ring.ID.Compare)
	if !slices.Equal(got, m.members()) {
		t.Fatalf("members are %v, want %v", got, m.members())
	}
	if l.Wraps() != m.wraps() {
		t.Fatalf("Wraps is %t, want %t, with sides %v", l.Wraps(), m.wraps(), m.sides)
	}
	for _, key := range keys {
		best := m.self
		for _, id := range m.members() {
			if ring.Closer(key, id, best) {
				best = id
			}
			if (l.Get(id) == nil) || l.Wants(id) && slices.Contains(m.sides[0], id) && slices.Contains(m.sides[1], id) {
				t.Fatalf("member %v: Get %v, Wants %t", id, l.Get(id), l.Wants(id))
			}
		}
		root := m.self
		if c := l.Closest(key, nil); c != nil {
			root = c.ID
		}
		if root != best {
			t.Fatalf("closest to %v is %v, want %v", key, root, best)
		}
	}
}

// TestLeafSetAgainstModel compares a leaf set with lists that are sorted anew
// after every one of many random operations, in rings of few distinct ids so
// that they come again.
func TestLeafSetAgainstModel(t *testing.T) {
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 2))
		pool := make([]ring.ID, 2+rng.IntN(40))
		for i := range pool {
			pool[i] = ring.Random(rng)
		}
		half := 1 + rng.IntN(8)
		l := NewLeafSet(pool[0], 2*half)
		m := &leafModel{self: pool[0], half: half}
		for range 300 {
			id := pool[rng.IntN(len(pool))]
			var got, want, wanted bool
			if rng.IntN(3) > 0 {
				wanted = l.Wants(id)
				got, want = l.Insert(contactAt(id)), m.insert(id)
				if wanted != got {
					t.Fatalf("seed %d: Wants(%v) is %t, Insert %t", seed, id, wanted, got)
				}
			} else {
				got, want = l.Remove(id), m.remove(id)
			}
			if got != want {
				t.Fatalf("seed %d: changed is %t for %v, want %t", seed, got, id, want)
			}
			m.check(t, l, []ring.ID{ring.Random(rng), id})
			if t.Failed() {
				t.Fatalf("with seed %d", seed)
			}
		}
	}
}

// TestLeafSetKeepsItsGap takes a leaf out of a set that does not go all the way round.
// Whoever says something meanwhile from the other side does not take its place: the set
// would seem to span the ring, with nobody where most of its nodes are.
func TestLeafSetKeepsItsGap(t *testing.T) {
	l := NewLeafSet(point(500), 6)
	for _, at := range []int{440, 460, 480, 520, 540, 560} {
		l.Insert(contactAt(point(at)))
	}
	l.Remove(point(540))
	for _, at := range []int{480, 440, 470} {
		l.Insert(contactAt(point(at)))
	}
	wantSides(t, l, []int{480, 470, 460}, []int{520, 560})
	if l.Wraps() || l.Covers(point(600)) {
		t.Errorf("Wraps %t, Covers the far side %t; want neither", l.Wraps(), l.Covers(point(600)))
	}
	l.Remove(point(460))
	l.Insert(contactAt(point(900))) // from between the sides, to the nearer one
	wantSides(t, l, []int{480, 470}, []int{520, 560, 900})
	l.Insert(contactAt(point(580)))
	wantSides(t, l, []int{480, 470}, []int{520, 560, 580})
	l.Insert(contactAt(point(100)))
	wantSides(t, l, []int{480, 470, 100}, []int{520, 560, 580})
}

func wantSides(t *testing.T, l *LeafSet, smaller, larger []int) {
	t.Helper()
	if got := points(l.Smaller()); !slices.Equal(got, smaller) {
		t.Errorf("smaller side is %v, want %v", got, smaller)
	}
	if got := points(l.Larger()); !slices.Equal(got, larger) {
		t.Errorf("larger side is %v, want %v", got, larger)
	}
}

// TestLeafSetMeets has a ring lose so many that the set goes all the way round: that is
// so once somebody sees its two ends next to each other.
func TestLeafSetMeets(t *testing.T) {
	shrunk := func() *LeafSet {
		l := NewLeafSet(point(500), 6)
		for _, at := range []int{440, 460, 480, 520, 540, 560} {
			l.Insert(contactAt(point(at)))
		}
		l.Remove(point(440))
		l.Remove(point(520))
		return l
	}
	at := func(points ...int) (cs []*Contact) {
		for _, p := range points {
			cs = append(cs, contactAt(point(p)))
		}
		return cs
	}
	for _, tt := range []struct {
		name string
		by   int
		sees []*Contact
		want bool
	}{
		{"the upper end sees the lower at the end of its own", 560, at(480, 500, 540, 460), true},
		{"the upper end sees the lower next", 560, at(500, 540, 460, 480), true},
		{"the lower end sees the upper next", 460, at(540, 560, 480, 500), true},
		{"a third sees both", 480, at(540, 560, 460, 500), true},
		{"somebody is between them", 560, at(500, 540, 700, 460, 480), false},
		{"the ends of what another sees", 500, at(460, 480, 540, 560), false},
		{"one of them is not seen", 540, at(480, 500, 560, 700), false},
		{"nobody is seen", 560, nil, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := shrunk()
			if got := l.Meet(contactAt(point(tt.by)), tt.sees); got != tt.want || l.Wraps() != tt.want {
				t.Errorf("Meet is %t and then Wraps %t, want %t", got, l.Wraps(), tt.want)
			}
			if tt.want {
				wantSides(t, l, []int{480, 460, 560}, []int{540, 560, 460})
			} else {
				wantSides(t, l, []int{480, 460}, []int{540, 560})
			}
		})
	}
	whole := NewLeafSet(point(500), 6)
	whole.Insert(contactAt(point(540)))
	if whole.Meet(contactAt(point(540)), at(500)) {
		t.Error("a set that goes all the way round has met again")
	}
}

// ringIDs draws the ids of a ring, in their order.
func ringIDs(rng *rand.Rand, size int) []ring.ID {
	ids := make([]ring.ID, size)
	for i := range ids {
		ids[i] = ring.Random(rng)
	}
	slices.SortFunc(ids, ring.ID.Compare)
	return ids
}

// trueLeafSet returns the leaf set that a node has when it knows the whole ring.
func trueLeafSet(self ring.ID, size int, ids []ring.ID) *LeafSet {
	l := NewLeafSet(self, size)
	for _, id := range ids {
		l.Insert(contactAt(id))
	}
	return l
}

// seen returns whom a node and its immediate neighbour on a side both see, by their
// places in the ring, which are in the order of the ids.
func seen(ids []ring.ID, self ring.ID, size int, up bool) map[ring.ID]bool {
	at, half := slices.Index(ids, self), size/2
	first, last := at-half, at+half-1 // with the left neighbour
	if up {
		first, last = first+1, last+1
	}
	if len(ids) <= size { // both see the whole ring
		first, last = 0, len(ids)-1
	}
	both := make(map[ring.ID]bool)
	for i := first; i <= last; i++ {
		both[ids[(i+len(ids))%len(ids)]] = true
	}
	return both
}

// eachRing calls f for random rings of 2 to 60 nodes and leaf sets of 2 to 24.
func eachRing(t *testing.T, f func(rng *rand.Rand, ids []ring.ID, size int)) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 19))
		ids, size := ringIDs(rng, 2+rng.IntN(59)), 2+2*rng.IntN(12)
		if f(rng, ids, size); t.Failed() {
			t.Fatalf("seed %d: %d nodes, leaf sets of %d", seed, len(ids), size)
		}
	}
}

// TestOverlapOfNeighbors has true leaf sets: what each node shares with its left
// neighbour is what that one shares with its right one.
func TestOverlapOfNeighbors(t *testing.T) {
	eachRing(t, func(_ *rand.Rand, ids []ring.ID, size int) {
		for i, id := range ids {
			right := trueLeafSet(ids[(i+1)%len(ids)], size, ids)
			got, want := trueLeafSet(id, size, ids).overlap(true), right.overlap(false)
			if got != want || got == 0 {
				t.Errorf("node %d has the digest %x, its right neighbour %x", i, got, want)
			}
		}
	})
}

// TestOverlapDiffers has one of two neighbours lack a node, with or without another in
// its place, or see one that the other does not: the digests differ if and only if that
// one is among those both should see.
func TestOverlapDiffers(t *testing.T) {
	eachRing(t, func(rng *rand.Rand, ids []ring.ID, size int) {
		for range 10 {
			i, up := rng.IntN(len(ids)), rng.IntN(2) == 0
			self, other := ids[i], ids[(i+len(ids)-1)%len(ids)]
			if up {
				other = ids[(i+1)%len(ids)]
			}
			want := trueLeafSet(other, size, ids).overlap(!up)
			verdict := func(what string, l *LeafSet, differs bool) {
				if got := l.overlap(up); (got != want) != differs {
					t.Errorf("node %d, up %t, %s: digests differ: %t, want %t", i, up, what, got != want, differs)
				}
			}
			if id := ids[rng.IntN(len(ids))]; id != self {
				short := trueLeafSet(self, size, ids)
				short.Remove(id)
				both := seen(ids, self, size, up)[id]
				verdict("one removed", short, both)
				others := slices.DeleteFunc(slices.Clone(ids), func(o ring.ID) bool { return o == id })
				verdict("one unknown", trueLeafSet(self, size, others), both)
			}
			near := ids[(i+len(ids)*size+rng.IntN(size+3)-size/2-2)%len(ids)]
			more := near.Add(ring.FromUint64s(0, 1+rng.Uint64N(1<<40)))
			at, _ := slices.BinarySearchFunc(ids, more, ring.ID.Compare)
			wider := slices.Insert(slices.Clone(ids), at, more)
			verdict("one more", trueLeafSet(self, size, wider), seen(wider, self, size, up)[more])
		}
	})
}

// TestOverlapIsNeverZero has ids that cancel each other out: no digest means that
// there is none.
func TestOverlapIsNeverZero(t *testing.T) {
	for _, up := range [2]bool{false, true} {
		if got := leafSetOf(0, 4, 100, 200, 300, 400, 500).overlap(up); got != 1 {
			t.Errorf("up %t: the digest of ids whose lower halves are zero is %d, want 1", up, got)
		}
	}
}

func TestLeafSetIsRight(t *testing.T) {
	l := leafSetOf(500, 4, 300, 400, 600, 700)
	for at, want := range map[int]bool{300: false, 400: false, 500: false, 600: true, 700: false} {
		if got := l.isRight(point(at)); got != want {
			t.Errorf("%d is the right neighbour: %t, want %t", at, got, want)
		}
	}
	if leafSetOf(500, 4).isRight(point(600)) {
		t.Error("a node alone has a right neighbour")
	}
}
