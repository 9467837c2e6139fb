package pastry

import (
	"math"
	"time"
)

const (
	minTablePeriod = 10 * time.Second
	maxTablePeriod = 2 * time.Hour
	failureHistory = 16 // failures from which the failure rate is estimated
)

// tuning chooses how often the routing table is probed: as seldom as the share
// of lookups that meet a dead hop allows. See Castro, Costa and Rowstron,
// Performance and Dependability of Structured Peer-to-Peer Overlays (DSN 2004),
// section 4.1.
type tuning struct {
	period   time.Duration // in force
	own      time.Duration // as found by this node, zero before
	since    Time          // when the node became active
	failures []Time        // the latest, oldest first
	silent   []bool        // of the latest failures outside the leaf set, whether nobody told of it
	next     int           // table contact to probe next
	oldest   Time          // no table contact was last heard before this
	tuned    Time
}

// failed notes that a contact in a table was found dead.
func (t *tuning) failed(now Time) {
	if len(t.failures) == failureHistory {
		t.failures = append(t.failures[:0], t.failures[1:]...)
	}
	t.failures = append(t.failures, now)
}

// learned notes how a failure outside the leaf set was found.
func (t *tuning) learned(told bool) {
	if len(t.silent) == failureHistory {
		t.silent = append(t.silent[:0], t.silent[1:]...)
	}
	t.silent = append(t.silent, !told)
}

// untold estimates the share of the failures outside the leaf set of which nobody
// tells. With a short history it counts one such that happens just now.
func (t *tuning) untold() float64 {
	k := 1
	for _, s := range t.silent {
		k += boolToInt(s)
	}
	return float64(k) / float64(len(t.silent)+1)
}

// rate estimates the failures per second of one node, from those seen among
// held contacts. With a short history it counts one that happens just now.
func (t *tuning) rate(now Time, held int) float64 {
	k, from := len(t.failures), t.since
	if k == failureHistory {
		from = t.failures[0]
	} else {
		k++
	}
	span := time.Duration(max(now-from, Time(time.Second)))
	return float64(k) / (float64(max(held, 1)) * span.Seconds())
}

// lossRate returns the probability that a lookup meets a dead hop: hops-1 hops
// from the table, probed every period unless their left neighbours tell of their
// death, which is not so for the untold share, and one from the leaf set, watched
// by heartbeats. Detection takes the period and the probes. All in seconds.
func lossRate(period, leafDetect, probing, failureRate, untold, hops float64) float64 {
	watched := deadShare(leafDetect+probing, failureRate)
	table := untold*deadShare(period+probing, failureRate) + (1-untold)*watched
	return 1 - (1-watched)*math.Pow(1-table, max(hops-1, 0))
}

// deadShare returns the probability that an entry whose death takes t seconds
// to be found is dead when it is used, at a failure rate per second.
func deadShare(t, rate float64) float64 {
	x := t * rate
	if x < 1e-9 {
		return 0
	}
	return 1 - (1-math.Exp(-x))/x
}

// retune finds the longest period at which the loss target holds. As long as the
// node has seen few failures, and so counts one more than there were, it takes the
// median of that and what the others found if that is longer. A shorter one may be
// from when they were new themselves: they are heard as seldom as they are probed.
func (n *RawNode) retune() {
	t := &n.tuning
	if t.tuned != 0 && n.now-t.tuned < Time(minTablePeriod) {
		return
	}
	t.tuned = n.now
	rate := t.rate(n.now, len(n.known))
	base := math.Exp2(float64(n.cfg.DigitBits))
	hops := math.Log(max(n.leaves.EstimateSize(), 2)) / math.Log(base) * (base - 1) / base
	probing := n.cfg.MinProbeTimeout.Seconds() * float64(n.cfg.ProbeTries)
	low, high := minTablePeriod, maxTablePeriod
	for high-low > time.Second {
		mid := (low + high) / 2
		if lossRate(mid.Seconds(), n.cfg.Heartbeat.Seconds(), probing, rate, t.untold(), hops) > n.cfg.LossTarget {
			high = mid
		} else {
			low = mid
		}
	}
	t.own = low
	if len(t.failures) == failureHistory {
		t.period = t.own
		return
	}
	var few [160]time.Duration // spares an allocation
	periods := append(few[:0], t.own)
	for _, p := range n.known {
		if p.period > 0 {
			periods = append(periods, p.period)
		}
	}
	t.period = min(max(t.own, median(periods)), maxTablePeriod)
}
