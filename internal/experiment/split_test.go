package experiment

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/secondbit/pastry"
)

func runSplit(t *testing.T, change func(s *Split)) *SplitReport {
	t.Helper()
	s := newSplit()
	s.Nodes, s.For, s.Rate, s.Limit = 80, 3*time.Minute, 0.2, 5*time.Minute
	if change != nil {
		change(s)
	}
	r := run[*SplitReport](t, s)
	checkAccount(t, &r.Lookups)
	return r
}

func TestSplit(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		change func(s *Split)
		sizes  []int
	}{
		{"halves", nil, []int{40, 40}},
		{"a quarter", func(s *Split) { s.Share = 0.25 }, []int{20, 60}},
		{"three parts", func(s *Split) { s.Parts, s.Share = 3, 0.5 }, []int{40, 20, 20}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := runSplit(t, tt.change)
			if diff := cmp.Diff(r.Sizes, tt.sizes); diff != "" {
				t.Errorf("parts (got, want):\n%s", diff)
			}
			if r.PartsExact <= 0 || r.Merged <= 0 {
				t.Errorf("parts exact after %.1fs, merged after %.1fs; want both", r.PartsExact, r.Merged)
			}
			if r.SplitSent == 0 || r.SplitWrong > 0 || r.SplitLost > 0 {
				t.Errorf("while split: %d lookups, %d wrong, %d lost; want some, none and none: %v",
					r.SplitSent, r.SplitWrong, r.SplitLost, r.SplitTold)
			}
			if r.Wrong > 0 != (r.LastWrong > 0) {
				t.Errorf("%d wrong after the healing, the last after %.1fs", r.Wrong, r.LastWrong)
			}
			if r.CalmSent < 500 || r.CalmWrong > 0 || r.CalmLost > 0 {
				t.Errorf("in the minute after: %+v; want many lookups, none wrong, none lost", r.Calm)
			}
			if r.LastWrong > r.Merged {
				t.Errorf("wrong %.1fs after the healing although all was one ring after %.1fs", r.LastWrong, r.Merged)
			}
		})
	}
}

func TestSplitDeterministic(t *testing.T) {
	long(t)
	t.Parallel()
	run := func() *SplitReport { return runSplit(t, func(s *Split) { s.Seed, s.Loss = 6, 0.01 }) }
	checkSame(t, run(), run())
}

// TestSplitDetects lets nobody look for the lost part: the rings stay two, and
// each delivers what the other should.
func TestSplitDetects(t *testing.T) {
	long(t)
	t.Parallel()
	r := runSplit(t, func(s *Split) {
		s.Limit = time.Minute
		s.tune = func(_ int, c *pastry.Config) { c.MergeInterval, c.LossTarget = -1, 0.001 }
	})
	if r.Merged >= 0 || r.Wrong == 0 {
		t.Errorf("merged after %.1fs, %d wrong; want never, and many", r.Merged, r.Wrong)
	}
}
