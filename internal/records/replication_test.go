package records

import (
	"slices"
	"testing"
	"time"

	"github.com/secondbit/pastry/ring"
)

// bench is one member, with evenly spaced others around it, and the time.
type bench struct {
	*Replication
	now time.Time
	x   *Index
}

func newBench(replicas int) *bench {
	cfg := ReplicationConfig{Self: spot(0), Replicas: replicas, Rand: newRand(1)}
	return &bench{Replication: NewReplication(cfg), now: time.Unix(1e9, 0), x: &Index{}}
}

// spot returns the id of one of 64 members evenly spaced around the ring; half
// way to the next is spot(i) + 1<<121.
func spot(i int) ring.ID { return ring.FromUint64s(uint64(i)<<58, 0) }

// key returns a key a quarter of the way from one spot to the next.
func quarter(i int) ring.ID { return spot(i).Add(ring.FromUint64s(1<<56, 0)) }

func (b *bench) see(member, whole bool, spots ...int) {
	v := ring.View{Whole: whole}
	for _, i := range spots {
		v.IDs = append(v.IDs, spot(i))
	}
	b.SetView(b.now, v, member)
}

// tasks returns what is due by a time from now, at which it then is.
func (b *bench) tasks(d time.Duration) []Task {
	b.now = b.now.Add(d)
	var ts []Task
	for t, ok := b.Next(b.now, b.x); ok; t, ok = b.Next(b.now, b.x) {
		ts = append(ts, t)
	}
	return ts
}

func (b *bench) done(ts []Task, ok bool) {
	for _, t := range ts {
		b.Done(b.now, t, ok)
	}
}

func spots(from, to int) []int {
	var s []int
	for i := from; i <= to; i++ {
		s = append(s, i)
	}
	return s
}

// TestQuiet counts the comparisons of a ring in which nothing happens: 14 a
// period, for 8 replicas.
func TestQuiet(t *testing.T) {
	b := newBench(8)
	b.see(true, false, spots(-12, 12)...)
	if ts := b.tasks(0); len(ts) > 0 {
		t.Errorf("%d tasks in no time", len(ts))
	}
	first := b.tasks(200 * time.Millisecond)
	if len(first) != 14 {
		t.Errorf("%d tasks at first, want 14", len(first))
	}
	b.done(first, true)
	count, wakes := 0, 0
	for end := b.now.Add(100 * time.Minute); ; {
		at, ok := b.Deadline()
		if !ok || at.After(end) {
			break
		}
		ts := b.tasks(at.Sub(b.now))
		b.done(ts, true)
		count, wakes = count+len(ts), wakes+1
	}
	if count < 130 || count > 150 || wakes > count+101 {
		t.Errorf("%d tasks and %d wake-ups in 100 minutes, want about 140 and a look each minute", count, wakes)
	}
}

// TestViewAgain shows the same view twice, and one in which only a far member
// has changed.
func TestViewAgain(t *testing.T) {
	b := newBench(8)
	b.see(true, false, spots(-12, 12)...)
	b.done(b.tasks(time.Second), true)
	b.see(true, false, spots(-12, 12)...)
	b.see(true, false, append(spots(-12, 11), 14)...)
	if ts := b.tasks(time.Second); len(ts) > 0 {
		t.Errorf("%d tasks though no share has changed", len(ts))
	}
	b.see(true, false, append(spots(-12, 6), 8, 9, 10, 11, 14)...)
	// The new eighth and all that shared keys with the seventh: the first to the
	// sixth, and the one below, whose place in those sets nobody takes.
	if ts := b.tasks(time.Second); len(ts) != 8 {
		t.Errorf("%d tasks after a neighbour is gone, want 8", len(ts))
	}
}

// TestFailingPeer has one peer fail for ever: it is asked less and less, the
// others as before, and in the end this member is complete without it.
func TestFailingPeer(t *testing.T) {
	b := newBench(3)
	b.see(true, true, spots(0, 2)...)
	var gaps []time.Duration
	last, others := b.now, 0
	for end := b.now.Add(5 * time.Minute); ; {
		at, ok := b.Deadline()
		if !ok || at.After(end) {
			break
		}
		for _, task := range b.tasks(at.Sub(b.now)) {
			bad := task.Peers[0] == spot(1)
			b.Done(b.now, task, !bad)
			if bad {
				gaps, last = append(gaps, b.now.Sub(last)), b.now
			} else {
				others++
			}
		}
		if got := b.Complete(quarter(0)); got != (len(gaps) >= hopeless && others > 0) {
			t.Errorf("after %d failures: complete: %t", len(gaps), got)
		}
	}
	want := []time.Duration{0, 1, 2, 4, 8, 16, 32, 60, 60, 60}
	for i, g := range gaps {
		w := want[min(i, 9)] * time.Second
		if g < w*7/8 || g > w*9/8+spread {
			t.Errorf("gap %d is %v, want about %v", i, g, w)
		}
	}
	if len(gaps) < 8 || others != 1 {
		t.Errorf("%d tasks of the failing peer, %d of the other", len(gaps), others)
	}
	b.see(true, true, 0, 1, 2, 20)
	if ts := b.tasks(time.Second); len(ts) != 2 {
		t.Errorf("%d tasks after the view has changed, want 2: failures are forgotten", len(ts))
	}
}

func TestDoubt(t *testing.T) {
	b := newBench(3)
	b.see(true, true, spots(0, 2)...)
	b.done(b.tasks(time.Second), true)
	b.Doubt(b.now, spot(1))
	b.Doubt(b.now, spot(40))
	if !b.Complete(quarter(0)) || b.Settled(b.x) {
		t.Errorf("in doubt: complete: %t, settled: %t", b.Complete(quarter(0)), b.Settled(b.x))
	}
	ts := b.tasks(6 * time.Second)
	if len(ts) != 1 || ts[0].Peers[0] != spot(1) {
		t.Fatalf("got tasks %v, want one with the peer in doubt", ts)
	}
	b.Doubt(b.now, spot(1)) // again, while it is under way
	b.done(ts, true)
	if ts = b.tasks(6 * time.Second); len(ts) != 1 {
		t.Errorf("%d tasks after another doubt", len(ts))
	}
	b.done(ts, true)
	if !b.Settled(b.x) {
		t.Error("not settled")
	}
}

// TestHandOver follows records of which this member is no replica.
func TestHandOver(t *testing.T) {
	begin := func() (*bench, Task) {
		b := newBench(2)
		b.x.Put(Entry{ID: ID{Key: quarter(3)}})
		b.x.Put(Entry{ID: ID{Key: quarter(0)}})
		b.see(true, true, spots(0, 6)...)
		b.done(b.tasks(4*time.Second), true)
		ts := b.tasks(time.Second)
		if len(ts) != 1 || ts[0].Kind != TaskHand || !slices.Equal(ts[0].Peers, []ring.ID{spot(3), spot(4)}) || !newArcSet(ts[0].Arcs...).contains(quarter(3)) {
			t.Fatalf("got tasks %v", ts)
		}
		return b, ts[0]
	}
	for _, tt := range []struct {
		name string
		do   func(b *bench, task Task)
		want bool
	}{
		{"as seen", func(*bench, Task) {}, true},
		{"vouched for", func(b *bench, _ Task) { b.Vouch(Arc{First: quarter(3), Last: quarter(3)}) }, false},
		{"vouched for elsewhere", func(b *bench, _ Task) { b.Vouch(Arc{First: quarter(4), Last: quarter(2)}) }, true},
		{"accepted", func(b *bench, _ Task) { b.see(true, true, 0, 3, 4); b.Accepts(quarter(3)) }, false},
		{"others are replicas", func(b *bench, _ Task) { b.see(true, true, 0, 1, 2, 4, 5, 6) }, false},
		{"now a replica", func(b *bench, _ Task) { b.see(true, true, 0, 3) }, false},
		{"other members come", func(b *bench, _ Task) { b.see(true, true, 0, 1, 2, 3, 4, 5, 6, 9) }, true},
		{"others out of sight", func(b *bench, _ Task) { b.see(true, false, -4, -3, -2, -1, 0, 1, 2) }, false},
		{"done before", func(b *bench, task Task) { b.Done(b.now, task, true) }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b, task := begin()
			tt.do(b, task)
			if got := b.MayDrop(task); got != tt.want {
				t.Fatalf("may drop: got %t", got)
			}
			if got := b.Vouch(Arc{First: quarter(3), Last: quarter(3)}); got == tt.want {
				t.Errorf("vouches: got %t", got)
			}
			b.Done(b.now, task, true)
			if !b.Vouch(WholeRing) || b.MayDrop(task) {
				t.Error("after Done the arc is not free")
			}
		})
	}
}

// TestHandOverAgain has a task fail: it comes again, later and later, and others
// come meanwhile.
func TestHandOverAgain(t *testing.T) {
	b := newBench(1)
	b.see(true, true, spots(0, 40)...)
	for i := 1; i <= 10; i++ {
		b.x.Put(Entry{ID: ID{Key: quarter(i)}})
	}
	if ts := b.tasks(5 * time.Second); len(ts) != maxHands {
		t.Errorf("%d tasks at once, want %d", len(ts), maxHands)
	} else {
		b.done(ts, false)
	}
	seen := make(map[ring.ID]int)
	for range 12 {
		ts := b.tasks(time.Second)
		for _, task := range ts {
			bad := task.Peers[0] == spot(1)
			if b.Done(b.now, task, !bad); !bad {
				b.x.Delete(ID{Key: task.Arcs[0].First})
			}
			seen[task.Peers[0]]++
		}
	}
	if seen[spot(1)] != 3 || len(seen) != 10 || b.x.Len() != 1 {
		t.Errorf("tasks by peer: %v; %d records are left", seen, b.x.Len())
	}
}

// TestPush has records whose replicas are out of sight.
func TestPush(t *testing.T) {
	b := newBench(3)
	for i := range 3 * maxPushed {
		b.x.Put(Entry{ID: ID{Key: spot(20).Add(ring.FromUint64s(0, uint64(i)))}})
	}
	b.see(true, false, spots(-4, 4)...)
	b.done(b.tasks(4*time.Second), true)
	ts := b.tasks(time.Second)
	if len(ts) != 3 {
		t.Fatalf("%d tasks, want 3", len(ts))
	}
	for _, task := range ts {
		if got := b.x.Summary(task.Arcs[0]).Count; task.Kind != TaskPush || got != maxPushed {
			t.Errorf("task %v has %d records", task, got)
		}
		if !b.MayDrop(task) {
			t.Error("may not drop")
		}
	}
}

// TestLeave hands everything to the others, whoever is a replica.
func TestLeave(t *testing.T) {
	b := newBench(3)
	for i := range 6 {
		b.x.Put(Entry{ID: ID{Key: quarter(i)}})
	}
	b.see(true, true, 0, 1, 2)
	b.done(b.tasks(time.Second), true)
	b.see(false, true, 0, 1, 2)
	if b.Vouch(Arc{}) || b.Accepts(quarter(0)) || b.Complete(quarter(0)) || b.Settled(b.x) {
		t.Error("one that leaves is still counted on")
	}
	ts := b.tasks(0)
	if len(ts) != 1 || ts[0].Kind != TaskHand || !slices.Equal(ts[0].Peers, []ring.ID{spot(1), spot(2)}) || b.x.Summary(ts[0].Arcs[0]).Count != 6 {
		t.Fatalf("got tasks %v", ts)
	}
	if !b.MayDrop(ts[0]) {
		t.Error("may not drop")
	}
	b.done(ts, true)
	if ts = b.tasks(time.Minute); len(ts) > 0 || !b.Settled(b.x) {
		t.Errorf("afterwards there are %d tasks; settled: %t", len(ts), b.Settled(b.x))
	}
	b.see(true, true, 0, 1, 2)
	if ts = b.tasks(time.Second); len(ts) != 2 || b.Settled(b.x) {
		t.Errorf("a member again: %d tasks, want 2", len(ts))
	}
}

// TestOne is a ring of one, and one that was not told of any.
func TestOne(t *testing.T) {
	b := newBench(8)
	if _, ok := b.Deadline(); ok || b.Vouch(WholeRing) || b.Accepts(spot(1)) || b.Complete(spot(1)) || b.Settled(b.x) {
		t.Error("without a view there is something")
	}
	b.x.Put(Entry{})
	b.see(true, true, 0)
	if ts := b.tasks(time.Minute); len(ts) > 0 || !b.Complete(spot(9)) || !b.Accepts(spot(9)) || !b.Settled(b.x) {
		t.Errorf("a ring of one has %d tasks; complete: %t", len(ts), b.Complete(spot(9)))
	}
	b.see(false, true)
	if ts := b.tasks(time.Minute); len(ts) > 0 {
		t.Errorf("%d tasks with nobody", len(ts))
	}
	if _, ok := b.Deadline(); ok {
		t.Error("a deadline with nobody")
	}
}

// TestAccepts asks about keys near and far.
func TestAccepts(t *testing.T) {
	b := newBench(4)
	b.see(true, false, spots(-12, 12)...)
	for _, tt := range []struct {
		key  ring.ID
		want bool
	}{
		{quarter(0), true}, {quarter(1), true}, {quarter(2), true}, {quarter(3), false}, {quarter(-3), true},
		{quarter(-4), false}, {quarter(12), false}, {quarter(30), false},
	} {
		if got := b.Accepts(tt.key); got != tt.want {
			t.Errorf("accepts %v: got %t", tt.key, got)
		}
	}
	b.see(true, false, spots(-2, 2)...)
	if !b.Accepts(quarter(2)) || !b.Accepts(quarter(4)) {
		t.Error("what is out of sight is refused")
	}
}
