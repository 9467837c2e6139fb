package pastry

import (
	"math"
	"testing"
	"time"
)

// TestDeadShare checks the share of time that an entry is dead and not yet
// found to be, against the integral it is the closed form of.
func TestDeadShare(t *testing.T) {
	for _, tt := range []struct{ period, rate float64 }{
		{10, 0}, {10, 1e-12}, {10, 1e-4}, {3600, 1e-4}, {10, 0.01}, {600, 0.01}, {60, 1},
	} {
		const steps = 10000
		want := 0.0
		for i := range steps {
			at := (float64(i) + 0.5) / steps * tt.period
			want += (1 - math.Exp(-at*tt.rate)) / steps
		}
		if got := deadShare(tt.period, tt.rate); math.Abs(got-want) > 1e-6 {
			t.Errorf("with %gs and %g failures a second the share is %g, want %g", tt.period, tt.rate, got, want)
		}
	}
}

func TestLossRateGrows(t *testing.T) {
	base := lossRate(60, 5, 1, 1e-3, 1, 4)
	for _, tt := range []struct {
		name string
		got  float64
	}{
		{"with the period", lossRate(120, 5, 1, 1e-3, 1, 4)},
		{"with the heartbeat", lossRate(60, 50, 1, 1e-3, 1, 4)},
		{"with the failure rate", lossRate(60, 5, 1, 2e-3, 1, 4)},
		{"with the hops", lossRate(60, 5, 1, 1e-3, 1, 6)},
	} {
		if tt.got <= base {
			t.Errorf("%s: loss rate is %g, want more than %g", tt.name, tt.got, base)
		}
	}
	if got := lossRate(60, 5, 1, 0, 1, 4); got != 0 {
		t.Errorf("without failures the loss rate is %g, want 0", got)
	}
}

func TestFailureRate(t *testing.T) {
	const second = Time(time.Second)
	var tu tuning
	tu.since = 100 * second
	if got, want := tu.rate(200*second, 50), 1.0/(50*100); math.Abs(got-want) > 1e-12 {
		t.Errorf("without a failure the rate is %g, want that of one just now, %g", got, want)
	}
	for i := range 40 {
		tu.failed(Time(200+i) * second)
	}
	if got := len(tu.failures); got != failureHistory {
		t.Errorf("%d failures are remembered, want %d", got, failureHistory)
	}
	// The last 16 came from 224 s to 239 s.
	if got, want := tu.rate(240*second, 50), 16.0/(50*16); math.Abs(got-want) > 1e-12 {
		t.Errorf("with one failure a second among 50 the rate is %g, want %g", got, want)
	}
	if got := tu.rate(224*second, 0); math.IsInf(got, 0) || math.IsNaN(got) {
		t.Errorf("in no time and among none the rate is %g", got)
	}
}

// TestRetune checks section 4.1 of the DSN 2004 paper: the period is the median
// of what the node finds for itself and what its neighbours found, within
// bounds, and holds the loss target.
func TestRetune(t *testing.T) {
	tuned := func(failures int, periods ...time.Duration) *RawNode {
		n := activeNode(t, 0, 100, 200, 300, 700, 800, 900)
		n.tuning.since, n.tuning.tuned = 0, 0
		n.now = Time(time.Hour)
		for i := range failures {
			n.tuning.failed(n.now - Time(failures-i)*Time(time.Second))
		}
		for i, p := range periods {
			n.known[i].period = p
		}
		n.retune()
		return n
	}
	quiet, busy := tuned(0), tuned(failureHistory)
	if quiet.tuning.own <= busy.tuning.own {
		t.Errorf("period is %v in quiet and %v in churn, want it longer in quiet", quiet.tuning.own, busy.tuning.own)
	}
	for _, n := range []*RawNode{quiet, busy} {
		if p := n.tuning.period; p < minTablePeriod || p > maxTablePeriod || p != n.tuning.own {
			t.Errorf("period is %v with own %v, want them equal and %v to %v", p, n.tuning.own, minTablePeriod, maxTablePeriod)
		}
	}
	voted := tuned(0, time.Minute, 2*time.Minute, 3*time.Minute, 10*time.Minute)
	if got := voted.tuning.period; got != 3*time.Minute {
		t.Errorf("period is %v of the node's %v and four others, want the median 3m", got, voted.tuning.own)
	}
	if got := tuned(0, time.Nanosecond, time.Nanosecond, time.Nanosecond).tuning.period; got != minTablePeriod {
		t.Errorf("period is %v when neighbours say a nanosecond, want %v", got, minTablePeriod)
	}
}

func TestMedian(t *testing.T) {
	for _, tt := range []struct {
		name string
		of   []time.Duration
		want time.Duration
	}{
		{"none", nil, 0},
		{"one", []time.Duration{5}, 5},
		{"odd", []time.Duration{9, 1, 5}, 5},
		{"even", []time.Duration{9, 1, 5, 6}, 6},
	} {
		if got := median(tt.of); got != tt.want {
			t.Errorf("%s: median is %d, want %d", tt.name, got, tt.want)
		}
	}
}
