package records

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/secondbit/pastry/pb"
	"github.com/secondbit/pastry/ring"
)

// world is a ring of members that run the policy, in virtual time. Membership is
// given; what a member sees of it is a leaf set, exact or behind the times.
type world struct {
	rng      *rand.Rand
	now      time.Time
	events   events
	serial   int
	nodes    []*node
	replicas int
	side     int           // leaves on a side
	lag      time.Duration // until a member sees a change, at most
	whole    bool          // the ring does not part
	loss     float64       // probability that a call gets no answer
	acked    map[ID]uint64 // the newest version that was acknowledged
	excused  map[ID]bool   // all its holders have crashed
	crashed  map[ring.ID]time.Time
	counts   counts
	faults   []error
}

// counts is what has happened in a world.
type counts struct {
	compares, calls, sent, fetched int
	acked, excused, dropped        int
	kinds                          [4]int // tasks by kind
	refused                        int    // MayDrop said no
}

func (c *counts) add(o counts) {
	c.compares, c.calls, c.sent, c.fetched = c.compares+o.compares, c.calls+o.calls, c.sent+o.sent, c.fetched+o.fetched
	c.acked, c.excused, c.dropped, c.refused = c.acked+o.acked, c.excused+o.excused, c.dropped+o.dropped, c.refused+o.refused
	for i, n := range o.kinds {
		c.kinds[i] += n
	}
}

// node is one life of a member.
type node struct {
	w      *world
	id     ring.ID
	x      *Index
	policy *Replication
	view   ring.View // as last seen
	up     bool
	member bool
	broken bool // answers nothing, though others see it
	part   int  // side of a partition
	tasks  int
	wake   time.Time
}

type event struct {
	at     time.Time
	serial int
	do     func()
}

type events []event

func (q events) Len() int      { return len(q) }
func (q events) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q events) Less(i, j int) bool {
	return q[i].at.Before(q[j].at) || q[i].at.Equal(q[j].at) && q[i].serial < q[j].serial
}
func (q *events) Push(e any) { *q = append(*q, e.(event)) }
func (q *events) Pop() any {
	e := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return e
}

func newWorld(seed uint64, replicas, side int) *world {
	return &world{
		rng: newRand(seed), now: time.Unix(1e9, 0), replicas: replicas, side: side,
		acked: make(map[ID]uint64), excused: make(map[ID]bool), crashed: make(map[ring.ID]time.Time),
	}
}

func (w *world) after(d time.Duration, do func()) {
	w.serial++
	heap.Push(&w.events, event{w.now.Add(d), w.serial, do})
}

func (w *world) upTo(d time.Duration) time.Duration { return time.Duration(w.rng.Int64N(int64(d) + 1)) }

func (w *world) run(d time.Duration) {
	end := w.now.Add(d)
	for len(w.events) > 0 && !w.events[0].at.After(end) {
		e := heap.Pop(&w.events).(event)
		w.now = e.at
		e.do()
	}
	w.now = end
}

func (w *world) faultf(format string, args ...any) {
	w.faults = append(w.faults, fmt.Errorf("after %v: "+format, append([]any{w.now.Sub(time.Unix(1e9, 0))}, args...)...))
}

// ids returns the members in one part, in ascending order.
func (w *world) ids(part int) []ring.ID {
	var ids []ring.ID
	for _, n := range w.nodes {
		if n.up && n.member && n.part == part {
			ids = append(ids, n.id)
		}
	}
	slices.SortFunc(ids, ring.ID.Compare)
	return ids
}

// find returns the life of an id that is up.
func (w *world) find(id ring.ID) *node {
	i := slices.IndexFunc(w.nodes, func(n *node) bool { return n.up && n.id == id })
	if i < 0 {
		return nil
	}
	return w.nodes[i]
}

// start starts a member with what it holds.
func (w *world) start(id ring.ID, x *Index) *node {
	n := &node{w: w, id: id, x: x, up: true, member: true}
	n.policy = NewReplication(ReplicationConfig{Self: id, Replicas: w.replicas, Rand: newRand(w.rng.Uint64())})
	w.nodes = append(w.nodes, n)
	n.look()
	w.changed()
	return n
}

// changed lets all see, in time, who is there.
func (w *world) changed() {
	for _, n := range w.nodes {
		if n.up && w.lag == 0 {
			n.look()
		} else if n.up {
			w.after(w.upTo(w.lag), n.look)
		}
	}
}

// look takes in who is there.
func (n *node) look() {
	if !n.up {
		return
	}
	ids := n.w.ids(n.part)
	place, found := slices.BinarySearchFunc(ids, n.id, ring.ID.Compare)
	if !found {
		ids = slices.Insert(ids, place, n.id)
	}
	n.view = viewOf(ids, place, n.w.side)
	n.policy.SetView(n.w.now, n.view, n.member)
	n.pump()
}

// pump carries out what is due, and comes back when more is.
func (n *node) pump() {
	if !n.up {
		return
	}
	for n.tasks < 6 {
		t, ok := n.policy.Next(n.w.now, n.x)
		if !ok {
			break
		}
		n.tasks++
		n.w.counts.kinds[t.Kind]++
		n.do(t)
	}
	at, ok := n.policy.Deadline()
	if !ok || n.tasks == 6 || n.wake.After(n.w.now) && !at.Before(n.wake) {
		return
	}
	if !at.After(n.w.now) {
		n.w.faultf("the deadline is past, and nothing is due")
		return
	}
	n.wake = at
	n.w.after(at.Sub(n.w.now), n.pump)
}

// call lets another member do something after a while and brings back its answer
// after another, or nothing after a timeout.
func (n *node) call(to ring.ID, do func(*node) any, answer func(any)) {
	w := n.w
	w.counts.calls++
	back := func(d time.Duration, a any) {
		w.after(d, func() {
			if n.up {
				answer(a)
			}
		})
	}
	if w.rng.Float64() < w.loss {
		back(3*time.Second, nil)
		return
	}
	w.after(w.upTo(100*time.Millisecond), func() {
		if p := w.find(to); p != nil && p.part == n.part && !p.broken {
			back(w.upTo(100*time.Millisecond), do(p))
		} else {
			back(3*time.Second, nil)
		}
	})
}

func (n *node) compare(arcs []*pb.Arc) any {
	n.w.counts.compares++
	for _, m := range arcs {
		a, _, err := decodeArc(m)
		if err != nil {
			n.w.faultf("%v", err)
		}
		if !n.policy.Vouch(a) {
			return nil
		}
	}
	verdicts, err := Compare(n.x, arcs, 4<<10)
	if err != nil {
		n.w.faultf("%v", err)
	}
	return verdicts
}

// store is what a member does with records sent to it alone. It returns those
// that are for others.
func (n *node) store(es []Entry) any {
	var refused []ID
	for _, e := range es {
		if n.policy.Accepts(e.ID.Key) {
			n.put(e)
		} else {
			refused = append(refused, e.ID)
		}
	}
	return refused
}

func (n *node) put(e Entry) {
	if old, ok := n.x.Get(e.ID); !ok || old.Version < e.Version {
		n.x.Put(e)
	}
}

func (n *node) fetch(ids []ID) []Entry {
	var es []Entry
	for _, id := range ids {
		if e, ok := n.x.Get(id); ok {
			es = append(es, e)
		}
	}
	return es
}
