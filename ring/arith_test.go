package ring_test

import (
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/secondbit/pastry/ring"
)

func mustParse(t testing.TB, s string) ring.ID {
	t.Helper()
	x, err := ring.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func checkArithmetic(t *testing.T, x, y ring.ID) {
	t.Helper()
	bx, by := toBig(x), toBig(y)
	tests := []struct {
		name string
		got  ring.ID
		want *big.Int
	}{
		{"Add", x.Add(y), new(big.Int).Add(bx, by)},
		{"Sub", x.Sub(y), new(big.Int).Sub(bx, by)},
		{"Half", x.Half(), new(big.Int).Rsh(bx, 1)},
		{"Clockwise", ring.Clockwise(x, y), bigClockwise(x, y)},
		{"Distance", ring.Distance(x, y), bigDistance(x, y)},
		{"Distance reversed", ring.Distance(y, x), bigDistance(x, y)},
	}
	for _, tt := range tests {
		if want := fromBig(tt.want); tt.got != want {
			t.Errorf("%s of %v, %v = %v, want %v", tt.name, x, y, tt.got, want)
		}
	}
	if got, want := x.Compare(y), bx.Cmp(by); got != want {
		t.Errorf("%v.Compare(%v) = %d, want %d", x, y, got, want)
	}
	if got, want := x.Less(y), bx.Cmp(by) < 0; got != want {
		t.Errorf("%v.Less(%v) = %t, want %t", x, y, got, want)
	}
	if got, want := x.IsZero(), bx.Sign() == 0; got != want {
		t.Errorf("%v.IsZero() = %t, want %t", x, got, want)
	}
}

func checkBetween(t *testing.T, x, from, to ring.ID) {
	t.Helper()
	if got, want := ring.Between(x, from, to), bigBetween(x, from, to); got != want {
		t.Errorf("Between(%v, %v, %v) = %t, want %t", x, from, to, got, want)
	}
}

func checkCompareDistance(t *testing.T, key, a, b ring.ID) {
	t.Helper()
	want := bigCompareDistance(key, a, b)
	got := ring.CompareDistance(key, a, b)
	if sign(got) != want {
		t.Errorf("CompareDistance(%v, %v, %v) = %d, want %d", key, a, b, got, want)
	}
	if got, want := ring.Closer(key, a, b), want < 0; got != want {
		t.Errorf("Closer(%v, %v, %v) = %t, want %t", key, a, b, got, want)
	}
}

func sign(n int) int { return min(max(n, -1), 1) }

func FuzzArithmetic(f *testing.F) {
	for _, x := range edges {
		for _, y := range edges {
			xhi, xlo := x.Uint64s()
			yhi, ylo := y.Uint64s()
			f.Add(xhi, xlo, yhi, ylo)
		}
	}
	f.Fuzz(func(t *testing.T, xhi, xlo, yhi, ylo uint64) {
		checkArithmetic(t, ring.FromUint64s(xhi, xlo), ring.FromUint64s(yhi, ylo))
	})
}

func addTriples(f *testing.F) {
	for i, x := range edges {
		for j, y := range edges {
			xhi, xlo := x.Uint64s()
			yhi, ylo := y.Uint64s()
			zhi, zlo := edges[(i+j)%len(edges)].Uint64s()
			f.Add(xhi, xlo, yhi, ylo, zhi, zlo)
		}
	}
}

func FuzzBetween(f *testing.F) {
	addTriples(f)
	f.Fuzz(func(t *testing.T, xhi, xlo, fromHi, fromLo, toHi, toLo uint64) {
		x := ring.FromUint64s(xhi, xlo)
		from, to := ring.FromUint64s(fromHi, fromLo), ring.FromUint64s(toHi, toLo)
		checkBetween(t, x, from, to)
		checkBetween(t, from, from, to)
		checkBetween(t, to, from, to)
		checkBetween(t, x, from, from)
	})
}

func FuzzCompareDistance(f *testing.F) {
	addTriples(f)
	f.Fuzz(func(t *testing.T, keyHi, keyLo, aHi, aLo, bHi, bLo uint64) {
		key := ring.FromUint64s(keyHi, keyLo)
		a, b := ring.FromUint64s(aHi, aLo), ring.FromUint64s(bHi, bLo)
		checkCompareDistance(t, key, a, b)
		checkCompareDistance(t, key, a, a)
		// The id as far from key as a on the other side: a tie, unless it is a.
		mirror := key.Add(key.Sub(a))
		checkCompareDistance(t, key, a, mirror)
		checkCompareDistance(t, key, mirror, a)
	})
}

// Every pair and triple of ids at the edges and near ties, in each plain run.
func TestArithmeticOfCrowd(t *testing.T) {
	ids := crowd(1, 6)
	for _, x := range ids {
		for _, y := range ids {
			checkArithmetic(t, x, y)
			for _, z := range ids {
				checkBetween(t, x, y, z)
				checkCompareDistance(t, x, y, z)
			}
		}
	}
}

func TestDistance(t *testing.T) {
	tests := []struct {
		name       string
		a, b, want string
	}{
		{"same", "000102030405060708090a0b0c0d0e0f", "000102030405060708090a0b0c0d0e0f", "00000000000000000000000000000000"},
		{"wraps past the top", "ffffffffffffffffffffffffffffffff", "00000000000000000000000000000001", "00000000000000000000000000000002"},
		{"antipodes", "00000000000000000000000000000000", "80000000000000000000000000000000", "80000000000000000000000000000000"},
		{"one short of antipodes", "00000000000000000000000000000000", "7fffffffffffffffffffffffffffffff", "7fffffffffffffffffffffffffffffff"},
		{"one past antipodes", "00000000000000000000000000000000", "80000000000000000000000000000001", "7fffffffffffffffffffffffffffffff"},
		{"borrow across the halves", "00000000000000010000000000000000", "0000000000000000ffffffffffffffff", "00000000000000000000000000000001"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, b, want := mustParse(t, tt.a), mustParse(t, tt.b), mustParse(t, tt.want)
			if got := ring.Distance(a, b); got != want {
				t.Errorf("Distance(a, b) = %v, want %v", got, want)
			}
			if got := ring.Distance(b, a); got != want {
				t.Errorf("Distance(b, a) = %v, want %v", got, want)
			}
		})
	}
}

func TestBetween(t *testing.T) {
	id := func(n uint64) ring.ID { return ring.FromUint64s(n<<60, 0) }
	tests := []struct {
		name        string
		x, from, to ring.ID
		want        bool
	}{
		{"inside", id(3), id(2), id(5), true},
		{"outside", id(6), id(2), id(5), false},
		{"start is excluded", id(2), id(2), id(5), false},
		{"end is included", id(5), id(2), id(5), true},
		{"wrapped, above start", id(15), id(14), id(2), true},
		{"wrapped, at zero", id(0), id(14), id(2), true},
		{"wrapped, outside", id(7), id(14), id(2), false},
		{"wrapped, start is excluded", id(14), id(14), id(2), false},
		{"whole ring", id(9), id(4), id(4), true},
		{"whole ring, its own start", id(4), id(4), id(4), true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := ring.Between(tt.x, tt.from, tt.to); got != tt.want {
				t.Errorf("Between = %t, want %t", got, tt.want)
			}
		})
	}
}

func TestCompareDistance(t *testing.T) {
	id := func(n uint64) ring.ID { return ring.FromUint64s(n<<56, 0) }
	tests := []struct {
		name      string
		key, a, b ring.ID
		want      int
	}{
		{"nearer above", id(0x50), id(0x51), id(0x4e), -1},
		{"nearer below", id(0x50), id(0x52), id(0x4f), 1},
		{"tie goes to the smaller", id(0x50), id(0x4f), id(0x51), -1},
		{"tie across zero goes to the smaller", id(0x00), id(0x01), id(0xff), -1},
		{"nearer across zero", id(0x02), id(0xff), id(0x10), -1},
		{"equal", id(0x50), id(0x60), id(0x60), 0},
		{"key itself against its antipode", id(0x00), id(0x00), id(0x80), -1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := sign(ring.CompareDistance(tt.key, tt.a, tt.b)); got != tt.want {
				t.Errorf("CompareDistance(key, a, b) = %d, want %d", got, tt.want)
			}
			if got := sign(ring.CompareDistance(tt.key, tt.b, tt.a)); got != -tt.want {
				t.Errorf("CompareDistance(key, b, a) = %d, want %d", got, -tt.want)
			}
		})
	}
}

// For a fixed key the comparator is a strict total order: antisymmetric, 0 only
// for equal ids, and transitive.
func TestCompareDistanceIsTotalOrder(t *testing.T) {
	ids := crowd(2, 5)
	for _, key := range ids {
		for _, a := range ids {
			for _, b := range ids {
				ab := ring.CompareDistance(key, a, b)
				if ba := ring.CompareDistance(key, b, a); sign(ab) != -sign(ba) {
					t.Fatalf("key %v: %v against %v is %d, reversed %d", key, a, b, ab, ba)
				}
				if (ab == 0) != (a == b) {
					t.Fatalf("key %v: %v against %v is %d", key, a, b, ab)
				}
				checkTransitive(t, key, a, b, ids)
			}
		}
	}
}

func checkTransitive(t *testing.T, key, a, b ring.ID, ids []ring.ID) {
	t.Helper()
	if !ring.Closer(key, a, b) {
		return
	}
	for _, c := range ids {
		if ring.Closer(key, b, c) && !ring.Closer(key, a, c) {
			t.Fatalf("key %v: %v < %v < %v, but not %v < %v", key, a, b, c, a, c)
		}
	}
}

// Whatever order a node learnt of the ids in, it ranks them the same way.
func TestCompareDistanceSortsEveryShuffleAlike(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 0))
	ids := crowd(3, 16)
	key := ids[len(ids)-1].Half()
	byDistance := func(a, b ring.ID) int { return ring.CompareDistance(key, a, b) }
	want := slices.SortedFunc(slices.Values(ids), byDistance)
	for range 50 {
		r.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
		if got := slices.SortedFunc(slices.Values(ids), byDistance); !slices.Equal(got, want) {
			t.Fatalf("sorted %v, want %v", got, want)
		}
	}
}

// The triangle inequality, with which a route's progress is argued.
func TestDistanceIsMetric(t *testing.T) {
	ids := crowd(4, 4)
	for _, a := range ids {
		for _, b := range ids {
			for _, c := range ids {
				direct := bigDistance(a, c)
				sum := new(big.Int).Add(toBig(ring.Distance(a, b)), toBig(ring.Distance(b, c)))
				if direct.Cmp(sum) > 0 {
					t.Fatalf("Distance(%v, %v) exceeds the way through %v", a, c, b)
				}
			}
		}
	}
}
