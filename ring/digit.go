package ring

import (
	"fmt"
	"math/bits"
)

// The bounds of b, the number of bits in a digit.
const (
	MinDigitBits = 1
	MaxDigitBits = 8
)

// NumDigits returns how many digits of b bits an ID has: 128/b, rounded up.
// When b does not divide 128, the last digit is narrower and holds only the
// remaining low bits. NumDigits panics unless b is in 1..8, as do all functions
// that take a b.
func NumDigits(b int) int {
	checkDigitBits(b)
	return (Bits + b - 1) / b
}

// Digit returns digit i of x in base 2^b, in 0..2^b-1. Digit 0 is the most
// significant. Digit panics unless b is in 1..8 and i in 0..NumDigits(b)-1.
func (x ID) Digit(i, b int) int {
	shift, width := digitSpan(i, b)
	// Go's shifts by 64 and more give 0, so exactly the terms that apply remain.
	low := x.lo>>shift | x.hi<<(64-shift) | x.hi>>(shift-64)
	return int(low & (1<<width - 1))
}

// WithDigit returns x with digit i in base 2^b replaced by d and all other bits
// kept. It panics as [ID.Digit] does, and when d does not fit that digit, the
// last of which may be narrower than b bits.
func (x ID) WithDigit(i, b, d int) ID {
	shift, width := digitSpan(i, b)
	if d < 0 || d >= 1<<width {
		panicDigitValue(i, b, d, width)
	}
	mask := shl(1<<width-1, shift)
	digit := shl(uint64(d), shift)
	return ID{hi: x.hi&^mask.hi | digit.hi, lo: x.lo&^mask.lo | digit.lo}
}

// SharedPrefixLen returns how many leading digits of b bits a and c have in
// common: NumDigits(b) if they are equal, less otherwise. It panics unless b is
// in 1..8.
func SharedPrefixLen(a, c ID, b int) int {
	checkDigitBits(b)
	if x := a.hi ^ c.hi; x != 0 {
		return bits.LeadingZeros64(x) / b
	}
	if x := a.lo ^ c.lo; x != 0 {
		return (64 + bits.LeadingZeros64(x)) / b
	}
	return NumDigits(b)
}

// digitSpan returns where digit i lies: width bits, the lowest of them shift
// bits above the lowest of the id.
func digitSpan(i, b int) (shift, width uint) {
	checkDigitBits(b)
	if uint(i) >= Bits || i*b >= Bits {
		panicDigitIndex(i, b)
	}
	end := Bits - (i+1)*b
	if end < 0 {
		return 0, uint(b + end)
	}
	return uint(end), uint(b)
}

// shl returns v shifted left by n bits, n in 0..127.
func shl(v uint64, n uint) ID {
	return ID{hi: v<<(n-64) | v>>(64-n), lo: v << n}
}

func checkDigitBits(b int) {
	if b < MinDigitBits || b > MaxDigitBits {
		panicDigitBits(b)
	}
}

// The panics are kept out of line so that the checks before them inline.

//go:noinline
func panicDigitBits(b int) {
	panic(fmt.Sprintf("ring: digit size %d bits out of range [%d, %d]", b, MinDigitBits, MaxDigitBits))
}

//go:noinline
func panicDigitIndex(i, b int) {
	panic(fmt.Sprintf("ring: digit index %d out of range [0, %d) for b=%d", i, NumDigits(b), b))
}

//go:noinline
func panicDigitValue(i, b, d int, width uint) {
	panic(fmt.Sprintf("ring: digit value %d out of range [0, %d) at i=%d, b=%d", d, 1<<width, i, b))
}
