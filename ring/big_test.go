package ring_test

import (
	"fmt"
	"math/big"
	"math/rand/v2"

	"github.com/secondbit/pastry/ring"
)

// The reference that the package is checked against: ids as big.Int.

var (
	one     = big.NewInt(1)
	modulus = new(big.Int).Lsh(one, ring.Bits)
)

func toBig(x ring.ID) *big.Int {
	b := x.Bytes()
	return new(big.Int).SetBytes(b[:])
}

// fromBig reduces v, which may be negative, modulo 2^128.
func fromBig(v *big.Int) ring.ID {
	x, err := ring.Parse(fmt.Sprintf("%032x", new(big.Int).Mod(v, modulus)))
	if err != nil {
		panic(err)
	}
	return x
}

func bigClockwise(from, to ring.ID) *big.Int {
	d := new(big.Int).Sub(toBig(to), toBig(from))
	return d.Mod(d, modulus)
}

func bigDistance(a, b ring.ID) *big.Int {
	there, back := bigClockwise(a, b), bigClockwise(b, a)
	if there.Cmp(back) < 0 {
		return there
	}
	return back
}

func bigCompareDistance(key, a, b ring.ID) int {
	if c := bigDistance(key, a).Cmp(bigDistance(key, b)); c != 0 {
		return c
	}
	return toBig(a).Cmp(toBig(b))
}

// bigBetween decides on the number line, without ring arithmetic.
func bigBetween(x, from, to ring.ID) bool {
	above := toBig(x).Cmp(toBig(from)) > 0
	upTo := toBig(x).Cmp(toBig(to)) <= 0
	switch toBig(from).Cmp(toBig(to)) {
	case -1:
		return above && upTo
	case 1:
		return above || upTo
	}
	return true
}

// edges are the ids at which carries, signs and halves change.
var edges = []ring.ID{
	ring.FromUint64s(0, 0),
	ring.FromUint64s(0, 1),
	ring.FromUint64s(0, 1<<63),
	ring.FromUint64s(0, 1<<64-1),
	ring.FromUint64s(1, 0),
	ring.FromUint64s(1<<63-1, 1<<64-1),
	ring.FromUint64s(1<<63, 0),
	ring.FromUint64s(1<<63, 1),
	ring.FromUint64s(1<<64-1, 0),
	ring.FromUint64s(1<<64-1, 1<<64-1),
}

// crowd returns the edges, n ids drawn with seed, and for each of those ids its
// antipode and its two neighbours, so that ties and near ties are plenty.
func crowd(seed uint64, n int) []ring.ID {
	r := rand.New(rand.NewPCG(seed, 0))
	ids := append([]ring.ID(nil), edges...)
	unit, half := ring.FromUint64s(0, 1), ring.FromUint64s(1<<63, 0)
	for range n {
		x := ring.Random(r)
		ids = append(ids, x, x.Add(half), x.Add(unit), x.Sub(unit))
	}
	return ids
}
