package pastry

import (
	"slices"
	"time"

	"github.com/secondbit/pastry/ring"
)

// peerState is what a node remembers of one other: how far it is, when it was
// heard, and what is being asked of it. It exists for everybody in a table, on
// an open connection, or being probed, and for strangers for a while, see sweep.
type peerState struct {
	c         *Contact
	state     State // as it last said, within c.Epoch
	live      bool  // it has answered, and nothing has put that in doubt for good
	connected bool  // the driver has an open connection to it
	handed    bool  // it has left and handed over what it delivered
	cutOff    bool  // the connection was lost: reaching it takes a dial
	known     bool  // it is in RawNode.known
	heard     Time  // when it last said anything
	sent      Time  // when it was last sent anything
	told      Time  // when it was last told that a table of this node keeps it, 0 before
	rtt       rtt
	version   uint64        // of its leaf set, as last seen
	compared  uint64        // version of the own leaf set it was compared with
	period    time.Duration // its table probing period, as it last said
	probe     *probe        // outstanding, nil if none
	epoch     uint64        // of the incarnation that was heard, 0 before: hearsay does not count
}

// usable reports whether messages may be handed to the peer.
func (p *peerState) usable() bool {
	return p.live && p.state == StateActive && !p.c.Client
}

// rtt estimates the round trip of one link as TCP does (RFC 6298), only less
// patiently: a timeout that comes too early costs a packet, one that comes too
// late delays a message. Beside that it has the
// least round trip seen of late, which tells how far the peer is and not how
// busy it was. All in nanoseconds; zero before the first sample.
type rtt struct {
	smoothed, variance, least Time
}

func (r *rtt) observe(sample Time) {
	sample = max(sample, 1)
	if r.smoothed == 0 {
		r.smoothed, r.variance, r.least = sample, sample/4, sample
		return
	}
	r.variance += (max(r.smoothed-sample, sample-r.smoothed) - r.variance) / 4
	r.smoothed += (sample - r.smoothed) / 8
	if sample < r.least {
		r.least = sample
	} else {
		r.least += (sample - r.least) / 16
	}
}

// observeLate takes in a sample that may hold a delay of the peer's own.
func (r *rtt) observeLate(sample Time) {
	least := r.least
	r.observe(sample)
	if least != 0 {
		r.least = least
	}
}

// timeout returns how long to wait for an answer on this link, at least floor;
// without a sample it is initial.
func (r *rtt) timeout(floor, initial Time) Time {
	if r.smoothed == 0 {
		return initial
	}
	margin := max(2*r.variance, r.smoothed/8+Time(5*time.Millisecond))
	return min(max(r.smoothed+margin, floor), max(initial, floor))
}

// index orders the usable peers by id, so that a better hop than the table has
// is found by binary search.
type index []*peerState

func (x index) search(id ring.ID) (int, bool) {
	return slices.BinarySearchFunc(x, id, func(p *peerState, id ring.ID) int { return p.c.ID.Compare(id) })
}

func (x *index) insert(p *peerState) {
	if p.known {
		return
	}
	p.known = true
	i, _ := x.search(p.c.ID)
	*x = slices.Insert(*x, i, p)
}

func (x *index) remove(p *peerState) {
	if !p.known {
		return
	}
	p.known = false
	i, _ := x.search(p.c.ID)
	*x = slices.Delete(*x, i, i+1)
}

// longest returns, of the peers that share more than atLeast digits with key,
// the nearest by round trip among those that share most, and how many digits
// that is; nil if there is none.
func (x index) longest(key ring.ID, b, atLeast int, skip func(ring.ID) bool) (*peerState, int) {
	var best *peerState
	up, _ := x.search(key)
	for _, step := range [2]int{-1, 1} {
		i := up
		if step < 0 {
			i--
		}
		for ; i >= 0 && i < len(x); i += step {
			n := ring.SharedPrefixLen(x[i].c.ID, key, b)
			if n < atLeast || n == atLeast && best == nil {
				break
			}
			if skip != nil && skip(x[i].c.ID) {
				continue
			}
			if best == nil || n > atLeast || x[i].rtt.least < best.rtt.least {
				best, atLeast = x[i], n
			}
		}
	}
	return best, atLeast
}

// nearest returns the peer closest to key on the ring, nil if there is none.
func (x index) nearest(key ring.ID) *peerState {
	if len(x) == 0 {
		return nil
	}
	i, _ := x.search(key)
	above, below := x[i%len(x)], x[(i+len(x)-1)%len(x)]
	if ring.CompareDistance(key, below.c.ID, above.c.ID) < 0 {
		return below
	}
	return above
}

// closest returns the peer closest to key on the ring that shares at least
// digits with it and is closer than self; nil if there is none.
func (x index) closest(key, self ring.ID, b, digits int, skip func(ring.ID) bool) *peerState {
	var best *peerState
	at := self
	for _, p := range x {
		if ring.Closer(key, p.c.ID, at) && ring.SharedPrefixLen(p.c.ID, key, b) >= digits &&
			(skip == nil || !skip(p.c.ID)) {
			best, at = p, p.c.ID
		}
	}
	return best
}
