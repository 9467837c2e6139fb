package experiment

import (
	"math"
	"testing"
)

func TestZipf(t *testing.T) {
	for _, s := range []float64{0, .8, 1, 1.1, 2} {
		const n, draws = 100, 1_000_000
		z := newZipf(n, s)
		var count [n]int
		for i := range draws {
			count[z.rank((float64(i)+.5)/draws)]++
		}
		sum := 0.0
		for r := 1; r <= n; r++ {
			sum += 1 / math.Pow(float64(r), s)
		}
		for r, got := range count {
			want := draws / math.Pow(float64(r+1), s) / sum
			if math.Abs(float64(got)-want) > 2 {
				t.Errorf("s=%v: rank %d was drawn %d times of %d, want %.1f", s, r, got, draws, want)
			}
		}
	}
	if got := newZipf(3, 1).rank(math.Nextafter(1, 0)); got != 2 {
		t.Errorf("the last rank is %d, want 2", got)
	}
}

func TestSkew(t *testing.T) {
	s := smallSkew()
	s.Lookups = 3000
	r := run[*SkewReport](t, s)
	want := 1 / newZipf(s.Distinct, s.Zipf)[s.Distinct-1]
	if math.Abs(r.TopKey-want) > .03 {
		t.Errorf("the most popular key got a share of %.3f, want %.3f", r.TopKey, want)
	}
	if r.Skewed.TopRoot < r.TopKey {
		t.Errorf("the most loaded root answers %.3f of the lookups, though one key has %.3f of them", r.Skewed.TopRoot, r.TopKey)
	}
	if r.Uniform.TopRoot > r.Skewed.TopRoot/2 || r.Uniform.RootCurve[1] >= r.Skewed.RootCurve[1] {
		t.Errorf("uniform keys burden their roots with %.3f at most, skewed ones with %.3f", r.Uniform.TopRoot, r.Skewed.TopRoot)
	}
	for _, l := range []*Load{&r.Skewed, &r.Uniform} {
		if l.TopBoth < max(l.TopRoot, l.TopRelay) || l.TopRoots[0] != l.TopRoot || l.TopRelays[0] != l.TopRelay {
			t.Errorf("the load does not add up: %+v", l)
		}
		for _, c := range [][]float64{l.RootCurve, l.RelayCurve} {
			if len(c) != 21 || c[0] != 0 || math.Abs(c[20]-1) > 1e-9 {
				t.Errorf("a curve of load is %v, want it to go from 0 to 1", c)
			}
		}
	}
}

func TestAllKeysAlike(t *testing.T) {
	s := smallSkew()
	s.Zipf = 0
	r := run[*SkewReport](t, s)
	if ratio := r.Skewed.TopRoot / r.Uniform.TopRoot; ratio < .5 || ratio > 2 {
		t.Errorf("with exponent 0 the most loaded root answers %.4f, with uniform keys %.4f", r.Skewed.TopRoot, r.Uniform.TopRoot)
	}
}
