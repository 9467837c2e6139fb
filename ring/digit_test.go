package ring_test

import (
	"fmt"
	"math"
	"math/big"
	"testing"

	"github.com/secondbit/pastry/ring"
)

// bigDigits splits x into digits by way of its 128 binary digits.
func bigDigits(x ring.ID, b int) []int {
	text := fmt.Sprintf("%0128b", toBig(x))
	var digits []int
	for len(text) > 0 {
		n := min(b, len(text))
		d, ok := new(big.Int).SetString(text[:n], 2)
		if !ok {
			panic("not binary: " + text[:n])
		}
		digits = append(digits, int(d.Int64()))
		text = text[n:]
	}
	return digits
}

func checkDigits(t *testing.T, x ring.ID, b int) {
	t.Helper()
	want := bigDigits(x, b)
	if got := ring.NumDigits(b); got != len(want) {
		t.Fatalf("NumDigits(%d) = %d, want %d", b, got, len(want))
	}
	var rebuilt ring.ID
	for i, d := range want {
		if got := x.Digit(i, b); got != d {
			t.Errorf("%v.Digit(%d, %d) = %d, want %d", x, i, b, got, d)
		}
		rebuilt = rebuilt.WithDigit(i, b, d)
	}
	if rebuilt != x {
		t.Errorf("digits of %v for b=%d put together = %v", x, b, rebuilt)
	}
}

// checkWithDigit sets digit i of x to that of y and expects no other to change.
func checkWithDigit(t *testing.T, x, y ring.ID, i, b int) {
	t.Helper()
	want := bigDigits(x, b)
	want[i] = bigDigits(y, b)[i]
	got := x.WithDigit(i, b, want[i])
	for j, d := range bigDigits(got, b) {
		if d != want[j] {
			t.Errorf("%v.WithDigit(%d, %d, %d) = %v, with digit %d = %d, want %d", x, i, b, want[i], got, j, d, want[j])
		}
	}
}

func checkSharedPrefixLen(t *testing.T, x, y ring.ID, b int) {
	t.Helper()
	want := 0
	xs, ys := bigDigits(x, b), bigDigits(y, b)
	for want < len(xs) && xs[want] == ys[want] {
		want++
	}
	if got := ring.SharedPrefixLen(x, y, b); got != want {
		t.Errorf("SharedPrefixLen(%v, %v, %d) = %d, want %d", x, y, b, got, want)
	}
	if got := ring.SharedPrefixLen(y, x, b); got != want {
		t.Errorf("SharedPrefixLen(%v, %v, %d) = %d, want %d", y, x, b, got, want)
	}
}

// differBelow returns an id that shares with x the leading n bits, differs in
// the next, and is y below that. It is x for n = 128.
func differBelow(x, y ring.ID, n int) ring.ID {
	for i := n; i < ring.Bits; i++ {
		d := y.Digit(i, 1)
		if i == n {
			d = 1 - x.Digit(i, 1)
		}
		x = x.WithDigit(i, 1, d)
	}
	return x
}

func FuzzDigits(f *testing.F) {
	for i, x := range edges {
		xhi, xlo := x.Uint64s()
		yhi, ylo := edges[len(edges)-1-i].Uint64s()
		f.Add(xhi, xlo, yhi, ylo, uint8(i*13))
	}
	f.Fuzz(func(t *testing.T, xhi, xlo, yhi, ylo uint64, n uint8) {
		x, y := ring.FromUint64s(xhi, xlo), ring.FromUint64s(yhi, ylo)
		near := differBelow(x, y, int(n)%(ring.Bits+1))
		for b := ring.MinDigitBits; b <= ring.MaxDigitBits; b++ {
			checkDigits(t, x, b)
			checkWithDigit(t, x, y, int(n)%ring.NumDigits(b), b)
			checkSharedPrefixLen(t, x, y, b)
			checkSharedPrefixLen(t, x, near, b)
			checkSharedPrefixLen(t, x, x, b)
		}
	})
}

// Each digit of each size set, and each length of shared prefix in bits.
func TestDigitsOfCrowd(t *testing.T) {
	ids := crowd(5, 1)
	for b := ring.MinDigitBits; b <= ring.MaxDigitBits; b++ {
		t.Run(fmt.Sprintf("b=%d", b), func(t *testing.T) {
			for i, x := range ids {
				y := ids[len(ids)-1-i]
				checkDigits(t, x, b)
				for n := range ring.NumDigits(b) {
					checkWithDigit(t, x, y, n, b)
				}
				for n := range ring.Bits + 1 {
					checkSharedPrefixLen(t, x, differBelow(x, y, n), b)
				}
			}
		})
	}
}

func TestNumDigits(t *testing.T) {
	want := []int{1: 128, 2: 64, 3: 43, 4: 32, 5: 26, 6: 22, 7: 19, 8: 16}
	for b := ring.MinDigitBits; b <= ring.MaxDigitBits; b++ {
		if got := ring.NumDigits(b); got != want[b] {
			t.Errorf("NumDigits(%d) = %d, want %d", b, got, want[b])
		}
	}
}

// With b=4 the digits are those of the text.
func TestDigitsAreThoseOfTheText(t *testing.T) {
	x := mustParse(t, "0123456789abcdeffedcba9876543210")
	for i, c := range x.String() {
		if got, want := fmt.Sprintf("%x", x.Digit(i, 4)), string(c); got != want {
			t.Errorf("Digit(%d, 4) = %s, want %s", i, got, want)
		}
	}
}

// Where b does not divide 128 the last digit holds only the low bits left over.
func TestLastDigitIsNarrower(t *testing.T) {
	all := ring.FromUint64s(math.MaxUint64, math.MaxUint64)
	want := []int{1: 1, 2: 3, 3: 3, 4: 15, 5: 7, 6: 3, 7: 3, 8: 255}
	for b := ring.MinDigitBits; b <= ring.MaxDigitBits; b++ {
		if got := all.Digit(ring.NumDigits(b)-1, b); got != want[b] {
			t.Errorf("last digit of b=%d = %d, want %d", b, got, want[b])
		}
	}
}

func TestDigitPanics(t *testing.T) {
	var x ring.ID
	tests := []struct {
		name string
		call func()
		want string
	}{
		{"NumDigits of b=0", func() { ring.NumDigits(0) }, "ring: digit size 0 bits out of range [1, 8]"},
		{"NumDigits of b=9", func() { ring.NumDigits(9) }, "ring: digit size 9 bits out of range [1, 8]"},
		{"Digit of b=-1", func() { x.Digit(0, -1) }, "ring: digit size -1 bits out of range [1, 8]"},
		{"WithDigit of b=16", func() { x.WithDigit(0, 16, 0) }, "ring: digit size 16 bits out of range [1, 8]"},
		{"SharedPrefixLen of b=0", func() { ring.SharedPrefixLen(x, x, 0) }, "ring: digit size 0 bits out of range [1, 8]"},
		{"index below", func() { x.Digit(-1, 4) }, "ring: digit index -1 out of range [0, 32) for b=4"},
		{"index above", func() { x.Digit(32, 4) }, "ring: digit index 32 out of range [0, 32) for b=4"},
		{"index above, narrow last digit", func() { x.Digit(43, 3) }, "ring: digit index 43 out of range [0, 43) for b=3"},
		{"index whose product overflows", func() { x.Digit(math.MinInt, 8) }, fmt.Sprintf("ring: digit index %d out of range [0, 16) for b=8", math.MinInt)},
		{"value below", func() { x.WithDigit(0, 4, -1) }, "ring: digit value -1 out of range [0, 16) at i=0, b=4"},
		{"value above", func() { x.WithDigit(3, 4, 16) }, "ring: digit value 16 out of range [0, 16) at i=3, b=4"},
		{"value above, narrow last digit", func() { x.WithDigit(42, 3, 4) }, "ring: digit value 4 out of range [0, 4) at i=42, b=3"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			defer func() {
				if got := recover(); got != tt.want {
					t.Errorf("panic %v, want %v", got, tt.want)
				}
			}()
			tt.call()
		})
	}
}
