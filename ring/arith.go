package ring

import "math/bits"

// Add returns x + y modulo 2^128.
func (x ID) Add(y ID) ID {
	lo, carry := bits.Add64(x.lo, y.lo, 0)
	hi, _ := bits.Add64(x.hi, y.hi, carry)
	return ID{hi: hi, lo: lo}
}

// Sub returns x - y modulo 2^128.
func (x ID) Sub(y ID) ID {
	lo, borrow := bits.Sub64(x.lo, y.lo, 0)
	hi, _ := bits.Sub64(x.hi, y.hi, borrow)
	return ID{hi: hi, lo: lo}
}

// Half returns x / 2, rounded down.
func (x ID) Half() ID { return ID{hi: x.hi >> 1, lo: x.hi<<63 | x.lo>>1} }

// Clockwise returns how far it is from one id upwards to the other, past the
// top of the ring if need be: 0 if they are equal, otherwise 2^128 less the
// way back.
func Clockwise(from, to ID) ID { return to.Sub(from) }

// Distance returns the way between a and b that is shorter, at most 2^127. It
// is symmetric, and 0 only if a == b.
func Distance(a, b ID) ID {
	d := a.Sub(b)
	if d.hi>>63 != 0 {
		return ID{}.Sub(d)
	}
	return d
}

// Between reports whether x lies on the arc that leads clockwise from, but not
// including, from up to and including to. If from == to the arc is the whole
// ring, that point included.
func Between(x, from, to ID) bool {
	if from == to {
		return true
	}
	return x != from && !Clockwise(from, to).Less(Clockwise(from, x))
}

// CompareDistance orders ids by their closeness to key on the ring. It returns
// a negative number if a is closer than b and a positive one if b is closer. Of
// two ids equally far from key, one on each side, the numerically smaller counts
// as closer; so the result is 0 only if a == b, and for a fixed key the order
// is total.
func CompareDistance(key, a, b ID) int {
	if c := Distance(key, a).Compare(Distance(key, b)); c != 0 {
		return c
	}
	return a.Compare(b)
}

// Closer reports whether a is strictly closer to key than b, in the order of
// [CompareDistance].
func Closer(key, a, b ID) bool { return CompareDistance(key, a, b) < 0 }
