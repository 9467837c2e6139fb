package pastry

import (
	"math"
	"time"
)

// answerTime returns how long the answer to a probe may take. Where a dial comes
// first, that must fit. A strained node is more patient, since others' answers
// may be waiting for its own processor.
func (n *RawNode) answerTime(p *peerState) Time {
	least, dial := Time(n.cfg.MinProbeTimeout), Time(n.cfg.ProbeTimeout)
	if p.rtt.smoothed == 0 || p.cutOff {
		return dial << n.strain()
	}
	return p.rtt.timeout(least, dial) << n.strain()
}

// probeWait returns how long to wait after a try. While a message waits for the
// outcome, the next try goes out after half the time an answer may take, so that
// a lost packet does not double the time in which a dead node is found. With
// nothing to hurry for, a node gets twice the time to answer.
func (n *RawNode) probeWait(p *peerState) Time {
	wait, pr := n.answerTime(p), p.probe
	switch {
	case p.rtt.smoothed == 0 || p.cutOff:
		return wait
	case !pr.hurry:
		return 2 * wait
	case pr.tries < pr.limit:
		return wait / 2
	}
	return wait
}

const (
	falseDeath = 1e-5    // of nodes that are probed, the share that may be taken for dead although it lives
	moreTries  = 3       // beyond Config.ProbeTries, at the most
	lossGain   = 1. / 64 // weight of the latest probe in the share that was lost
)

// answered notes that a probe was, and whether that was the first try.
func (n *RawNode) answered(first bool) {
	lost := 1.0
	if first {
		lost = 0
	}
	n.lossy += (lost - n.lossy) * lossGain
}

// enoughTries returns how many unanswered probes make a node dead: ProbeTries,
// and more of them where many get lost.
func (n *RawNode) enoughTries() int {
	tries, silent := n.cfg.ProbeTries, math.Pow(n.lossy, float64(n.cfg.ProbeTries))
	for ; silent > falseDeath && tries < n.cfg.ProbeTries+moreTries; tries++ {
		silent *= n.lossy
	}
	return tries
}

const (
	maxStrain  = 3                     // doublings of patience
	strainTime = 20 * time.Second      // after which one doubling is taken back
	stallTime  = 25 * time.Millisecond // lateness of a timer that tells of a stall
	maxExcuses = 4                     // waits prolonged in a row because of stalls
)

// strain returns by how many doublings the node is more patient than it would
// be on a machine at ease: one for every time of late that somebody who seemed
// dead was not. The idea is from Dadgar, Phillips and Currey's Lifeguard (2018).
func (n *RawNode) strain() int {
	return max(0, n.strained-int((n.now-n.strainedAt)/Time(strainTime)))
}

// hasty notes that somebody was suspected wrongly.
func (n *RawNode) hasty() {
	n.strained, n.strainedAt = min(n.strain()+1, maxStrain), n.now
}

// stalled reports whether the node itself comes late to what was due, as after
// its process or its clock stood still: then nobody else is to blame yet. A node
// that is always late cannot excuse others for ever.
func (n *RawNode) stalled(due Time, excused *int) bool {
	if n.now-due <= Time(stallTime) || *excused == maxExcuses {
		return false
	}
	*excused++
	return true
}
