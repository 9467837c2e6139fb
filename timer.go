package pastry

import "github.com/secondbit/pastry/ring"

// Time is nanoseconds since an epoch the driver of a RawNode picks.
type Time int64

type timerKind uint8

const (
	timerPending   timerKind = iota // ref: sequence number of an unacknowledged packet
	timerProbe                      // id: the probed node, ref: sequence number of the probe
	timerCall                       // msg: a call of this node's own: send again, or give up
	timerExpire                     // forget old deliveries, relays and graveyard entries
	timerHeartbeat                  // to the left neighbour
	timerMonitor                    // of the right neighbour
	timerTable                      // probe the next table entry
	timerRows                       // exchange rows
	timerLeaves                     // exchange leaf sets
	timerMerge                      // look for a lost part of the ring
	timerJoin                       // the current step of joining took too long, ref: its generation
	timerAck                        // id: the peer that is owed acknowledgements
	timerGrant                      // a grant given to a joiner runs out, id: the joiner
	timerLeave                      // leaving took too long
	timerHold                       // tell new entries of the tables that they are kept
)

// timer is a wait. Timers are never removed from the heap: whoever sets one
// checks, when it fires, whether it still means anything.
type timer struct {
	at   Time
	seq  uint64 // order of setting; breaks ties of at
	kind timerKind
	id   ring.ID
	ref  uint64
	msg  MessageID
}

// timerHeap is a binary heap ordered by (at, seq).
type timerHeap struct {
	a   []timer
	seq uint64
}

func (h *timerHeap) less(i, j int) bool {
	if h.a[i].at != h.a[j].at {
		return h.a[i].at < h.a[j].at
	}
	return h.a[i].seq < h.a[j].seq
}

func (h *timerHeap) push(t timer) {
	h.seq++
	t.seq = h.seq
	h.a = append(h.a, t)
	for i := len(h.a) - 1; i > 0; {
		p := (i - 1) / 2
		if !h.less(i, p) {
			break
		}
		h.a[i], h.a[p] = h.a[p], h.a[i]
		i = p
	}
}

func (h *timerHeap) pop() timer {
	top := h.a[0]
	last := len(h.a) - 1
	h.a[0] = h.a[last]
	h.a = h.a[:last]
	for i := 0; ; {
		c := 2*i + 1
		if c >= last {
			break
		}
		if c+1 < last && h.less(c+1, c) {
			c++
		}
		if !h.less(c, i) {
			break
		}
		h.a[i], h.a[c] = h.a[c], h.a[i]
		i = c
	}
	h.shrink()
	return top
}

// shrink gives back the room of a heap that was much longer, as during a join.
func (h *timerHeap) shrink() {
	if room := cap(h.a); room > 32 && len(h.a) < room/4 {
		h.a = append(make([]timer, 0, room/2), h.a...)
	}
}
