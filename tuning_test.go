package pastry

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/secondbit/pastry/ring"
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
	base := lossRate(60, 5, 1, 1e-3, 0.5, 4)
	for _, tt := range []struct {
		name string
		got  float64
	}{
		{"with the period", lossRate(120, 5, 1, 1e-3, 0.5, 4)},
		{"with the heartbeat", lossRate(60, 50, 1, 1e-3, 0.5, 4)},
		{"with the failure rate", lossRate(60, 5, 1, 2e-3, 0.5, 4)},
		{"with the share of which nobody tells", lossRate(60, 5, 1, 1e-3, 0.6, 4)},
		{"with the hops", lossRate(60, 5, 1, 1e-3, 0.5, 6)},
	} {
		if tt.got <= base {
			t.Errorf("%s: loss rate is %g, want more than %g", tt.name, tt.got, base)
		}
	}
	if got := lossRate(60, 5, 1, 0, 0.5, 4); got != 0 {
		t.Errorf("without failures the loss rate is %g, want 0", got)
	}
}

// TestLossRateUntold has nobody, or everybody, tell of a death: the entries of the table
// are then as dead as if only probes, or only heartbeats, found them.
func TestLossRateUntold(t *testing.T) {
	for _, tt := range []struct {
		name   string
		untold float64
		table  float64 // seconds until a dead entry is found, beside the probes
	}{
		{"nobody tells", 1, 600},
		{"all are told of", 0, 5},
	} {
		leaf, table := 1-deadShare(6, 1e-3), 1-deadShare(tt.table+1, 1e-3)
		if got, want := lossRate(600, 5, 1, 1e-3, tt.untold, 4), 1-leaf*table*table*table; math.Abs(got-want) > 1e-9 {
			t.Errorf("%s: loss rate is %g, want %g", tt.name, got, want)
		}
	}
	if a, b := lossRate(60, 5, 1, 1e-3, 0, 4), lossRate(6000, 5, 1, 1e-3, 0, 4); a != b {
		t.Errorf("all are told of: loss rates are %g and %g, want the period not to matter", a, b)
	}
	if got, want := lossRate(600, 5, 1, 1e-3, 0.5, 1), deadShare(6, 1e-3); math.Abs(got-want) > 1e-9 {
		t.Errorf("with one hop, to a leaf, the loss rate is %g, want %g", got, want)
	}
}

// TestUntold checks the estimate of the share of deaths of which nobody tells.
func TestUntold(t *testing.T) {
	for _, tt := range []struct {
		name string
		told []bool
		want float64
	}{
		{"no death yet", nil, 1},
		{"one told of", []bool{true}, 1.0 / 2},
		{"one not", []bool{false}, 1},
		{"one of three not", []bool{true, false, true}, 2.0 / 4},
		{"many told of", slices.Repeat([]bool{true}, 40), 1.0 / 17},
		{"many not", slices.Repeat([]bool{false}, 40), 1},
		{"the latest told of", append(slices.Repeat([]bool{false}, 40), slices.Repeat([]bool{true}, 16)...), 1.0 / 17},
		{"the latest not", append(slices.Repeat([]bool{true}, 16), false, false, false), 4.0 / 17},
	} {
		var tu tuning
		for _, told := range tt.told {
			tu.learned(told)
		}
		if got := tu.untold(); math.Abs(got-tt.want) > 1e-12 {
			t.Errorf("%s: the share is %g, want %g", tt.name, got, tt.want)
		}
		if got := len(tu.silent); got > failureHistory {
			t.Errorf("%s: %d are remembered, want %d", tt.name, got, failureHistory)
		}
	}
}

// TestLearned has a node die, and be found dead in one way or another: it counts when it
// was in the table and no leaf.
func TestLearned(t *testing.T) {
	disconnected := func(s *script, at int) { s.step(Input{Kind: InDisconnected, From: contactAt(point(at))}) }
	told := func(s *script, at int) {
		s.hear(contactAt(point(300)), &Packet{Kind: KindSuspect, Suspects: []ring.ID{point(at)}, Holders: []ring.ID{point(500)}})
	}
	for _, tt := range []struct {
		name string
		dead int
		dies func(s *script, at int)
		want []bool // whether nobody told
	}{
		{"entry, silent", 900, disconnected, []bool{true}},
		{"entry, told of", 900, told, []bool{false}},
		{"leaf, silent", 600, disconnected, nil},
		{"leaf, told of", 600, told, nil},
		{"entry that says it leaves", 900, func(s *script, at int) {
			s.hear(contactAt(point(at)), &Packet{Kind: KindLeave, Seq: 4})
		}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := forwarder(t)
			s.now += Time(time.Minute)
			if tt.dies(s, tt.dead); s.n.holds(point(tt.dead)) {
				s.goneAfter(tt.dead, 10*time.Second)
			}
			if got := s.n.tuning.silent; s.n.holds(point(tt.dead)) || !slices.Equal(got, tt.want) {
				t.Errorf("still held: %t; noted is %v, want %v", s.n.holds(point(tt.dead)), got, tt.want)
			}
		})
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
// bounds, and holds the loss target. But it is never shorter than what the node
// finds, and one that has seen enough failures goes by these alone.
func TestRetune(t *testing.T) {
	// One failure a second, of a node that has been active for so long.
	tuned := func(active time.Duration, failures int, periods ...time.Duration) *RawNode {
		n := activeNode(t, 0, 100, 200, 300, 700, 800, 900)
		n.now = Time(time.Hour)
		n.tuning.since, n.tuning.tuned = n.now-Time(active), 0
		for i := range failures {
			n.tuning.failed(n.now - Time(failures-i)*Time(time.Second))
		}
		for i, p := range periods {
			n.known[i].period = p
		}
		n.retune()
		return n
	}
	const long = 2*time.Hour - 2*time.Second // in quiet, or more
	quiet, busy := tuned(time.Hour, 0), tuned(time.Hour, failureHistory)
	if own := quiet.tuning.own; own < long {
		t.Errorf("period is %v in quiet, want %v", own, maxTablePeriod)
	}
	if own := busy.tuning.own; own != minTablePeriod {
		t.Errorf("period is %v in churn, want %v", own, minTablePeriod)
	}
	few := failureHistory - 1
	for _, tt := range []struct {
		name     string
		active   time.Duration
		failures int
		others   []time.Duration
		least    time.Duration
		most     time.Duration
	}{
		{"quiet", time.Hour, 0, nil, long, maxTablePeriod},
		{"quiet, others were not", time.Hour, 0, []time.Duration{time.Minute, time.Minute, time.Minute}, long, maxTablePeriod},
		{"new", 20 * time.Second, few, nil, minTablePeriod, minTablePeriod},
		{"new, others know better", 20 * time.Second, few, []time.Duration{time.Minute, 2 * time.Minute, 3 * time.Minute, 10 * time.Minute}, 2 * time.Minute, 2 * time.Minute},
		{"new, others say nothing of use", 20 * time.Second, few, []time.Duration{1, 1, 1}, minTablePeriod, minTablePeriod},
		{"new, others say ages", 20 * time.Second, few, []time.Duration{1 << 62, 1 << 62, 1 << 62}, maxTablePeriod, maxTablePeriod},
		{"busy, others are not", 20 * time.Second, failureHistory, []time.Duration{time.Hour, time.Hour, time.Hour}, minTablePeriod, minTablePeriod},
		{"busy for long, others are not", 20 * time.Second, 3 * failureHistory, []time.Duration{time.Hour, time.Hour, time.Hour}, minTablePeriod, minTablePeriod},
	} {
		if got := tuned(tt.active, tt.failures, tt.others...).tuning.period; got < tt.least || got > tt.most {
			t.Errorf("%s: period is %v, want %v to %v", tt.name, got, tt.least, tt.most)
		}
	}
}

// TestRetuneWhenTold has as many nodes die as ever, and somebody tell of most of them:
// probes may be fewer.
func TestRetuneWhenTold(t *testing.T) {
	period := func(silent int) time.Duration {
		n := activeNode(t, 500, around(1)...) // of a ring of 1,000
		n.tuning.since, n.tuning.tuned = 0, 0
		n.now = Time(time.Hour)
		for i := range failureHistory {
			n.tuning.failed(n.now - Time(failureHistory-i)*Time(time.Minute))
			n.tuning.learned(i >= silent)
		}
		n.retune()
		return n.tuning.period
	}
	last := time.Duration(0)
	for _, silent := range []int{failureHistory, failureHistory / 2, 1} {
		got := period(silent)
		if got <= last {
			t.Errorf("period is %v when nobody tells of %d in %d, want more than %v", got, silent, failureHistory, last)
		}
		last = got
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
