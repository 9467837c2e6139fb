package sim

import "github.com/secondbit/pastry"

type eventKind uint8

const (
	evPacket eventKind = iota // packet from peer arrives at node
	evFailed                  // packet to peer could not be sent by node
	evWake                    // node has something to do by itself
	evInput                   // node's application answers, or another input
	evCall                    // the scenario's own
)

var eventNames = [...]string{"packet", "failed", "wake", "input", "call"}

// event is what happens next. Fields that a kind does not name are zero.
type event struct {
	kind   eventKind
	node   int32  // whom it happens to
	gen    uint32 // for which of its incarnations
	from   int32
	peer   *pastry.Contact
	packet *pastry.Packet
	input  *pastry.Input
	fn     func()
}

// place is where an event stands in the queue.
type place struct {
	at   pastry.Time
	seq  uint64 // order of insertion; breaks ties of at
	slot int32
}

func (p place) before(q place) bool {
	return p.at < q.at || p.at == q.at && p.seq < q.seq
}

// queue is a heap of events ordered by (time, sequence), in which each place has
// four below it: fewer of them are far apart in memory than with two. The heap
// holds only places, 24 bytes each; the events stay where they are until they
// happen, and their slots are used again.
type queue struct {
	heap  []place
	slots []event
	free  []int32
	seq   uint64
}

func (q *queue) len() int { return len(q.heap) }

// push adds an event that happens at the given time and returns its place.
func (q *queue) push(at pastry.Time, e event) place {
	var slot int32
	if n := len(q.free); n > 0 {
		slot = q.free[n-1]
		q.free = q.free[:n-1]
		q.slots[slot] = e
	} else {
		slot = int32(len(q.slots))
		q.slots = append(q.slots, e)
	}
	q.seq++
	p := place{at: at, seq: q.seq, slot: slot}
	q.heap = append(q.heap, p)
	q.up(len(q.heap) - 1)
	return p
}

// pop takes out the earliest event. The queue must not be empty.
func (q *queue) pop() (place, event) {
	top := q.heap[0]
	last := len(q.heap) - 1
	q.heap[0] = q.heap[last]
	q.heap = q.heap[:last]
	q.down(0)
	e := q.slots[top.slot]
	q.slots[top.slot] = event{}
	q.free = append(q.free, top.slot)
	return top, e
}

func (q *queue) up(i int) {
	p := q.heap[i]
	for i > 0 {
		parent := (i - 1) / 4
		if !p.before(q.heap[parent]) {
			break
		}
		q.heap[i] = q.heap[parent]
		i = parent
	}
	q.heap[i] = p
}

func (q *queue) down(i int) {
	if len(q.heap) == 0 {
		return
	}
	p := q.heap[i]
	for {
		child := 4*i + 1
		if child >= len(q.heap) {
			break
		}
		for other := child + 1; other < min(4*i+5, len(q.heap)); other++ {
			if q.heap[other].before(q.heap[child]) {
				child = other
			}
		}
		if !q.heap[child].before(p) {
			break
		}
		q.heap[i] = q.heap[child]
		i = child
	}
	q.heap[i] = p
}
