package records

import (
	"encoding/binary"
	"flag"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/secondbit/pastry/ring"
)

var (
	oneSeed   = flag.Uint64("seed", 0, "run this seed of the tests that take many alone")
	seedCount = flag.Int("seeds", 150, "number of seeds of the tests that take many")
)

// forSeeds runs a test for many seeds, or for the one of -seed.
func forSeeds(t *testing.T, run func(seed uint64) error) {
	t.Helper()
	first, last := uint64(1), uint64(*seedCount)
	if testing.Short() {
		last = min(last, 40)
	}
	if *oneSeed != 0 {
		first, last = *oneSeed, *oneSeed
	}
	var next, failures atomic.Uint64
	next.Store(first - 1)
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for seed := next.Add(1); seed <= last && failures.Load() < 5; seed = next.Add(1) {
				if err := run(seed); err != nil {
					failures.Add(1)
					t.Errorf("seed %d: %v\nreplay: go test ./internal/records -run '^%s$' -seed %d", seed, err, t.Name(), seed)
				}
			}
		})
	}
	wg.Wait()
}

// holders returns who is up and holds a record, in the version that was
// acknowledged or a newer one.
func (w *world) holders(id ID) []*node {
	var ns []*node
	for _, n := range w.nodes {
		if e, ok := n.x.Get(id); n.up && ok && e.Version >= w.acked[id] {
			ns = append(ns, n)
		}
	}
	return ns
}

// checkHeld reports that nobody holds a record that was acknowledged any more,
// after its last holder dropped it. That is excused if all that had confirmed
// that they hold it have crashed since.
func (w *world) checkHeld(id ID, crashed bool) {
	if w.acked[id] == 0 || w.excused[id] || len(w.holders(id)) > 0 {
		return
	}
	if crashed {
		w.excused[id] = true
	} else {
		w.faultf("record %v was dropped by its last holder", id.Key.Short())
	}
}

// crash ends a node, and excuses what nobody holds any more.
func (w *world) crash(n *node) {
	n.up, w.crashed[n.id] = false, w.now
	for id := range w.acked { // order does not matter: each for itself
		if len(w.holders(id)) == 0 {
			w.excused[id] = true
		}
	}
	w.changed()
}

// leave lets a node hand on what it holds, for at most so long.
func (w *world) leave(n *node, patience time.Duration) {
	n.member = false
	n.policy.SetView(w.now, n.view, false)
	n.pump()
	w.changed()
	end := w.now.Add(patience)
	var wait func()
	wait = func() {
		switch {
		case !n.up:
		case n.policy.Settled(n.x):
			n.up = false
			for id := range w.acked { // order does not matter: each for itself
				if !w.excused[id] && len(w.holders(id)) == 0 {
					w.faultf("record %v was lost by one that has left", id.Key.Short())
				}
			}
			w.changed()
		case w.now.After(end):
			w.crash(n)
		default:
			w.after(100*time.Millisecond, wait)
		}
	}
	wait()
}

// split puts the members into two parts, or into one again.
func (w *world) split(apart bool) {
	for _, n := range w.nodes {
		n.part = 0
		if apart {
			n.part = w.rng.IntN(2)
		}
	}
	w.changed()
}

// check says what is not where it belongs.
func (w *world) check() error {
	ids := w.ids(0)
	records := make(map[ID]uint64)
	for _, n := range w.nodes {
		if n.up {
			n.x.Ascend(WholeRing, func(e Entry) bool { records[e.ID] = max(records[e.ID], e.Version); return true })
		}
	}
	for id, version := range w.acked {
		if records[id] < version && !w.excused[id] {
			return fmt.Errorf("record %v is lost in version %d: there is %d", id.Key.Short(), version, records[id])
		}
	}
	for _, n := range w.nodes {
		if !n.up {
			continue
		}
		for id, version := range records {
			e, held := n.x.Get(id)
			if want := slices.Contains(closest(ids, id.Key, w.replicas), n.id); held != want || held && e.Version != version {
				return fmt.Errorf("record %v is held by %v: %t, in version %d; want %t, %d", id.Key.Short(), n.id.Short(), held, e.Version, want, version)
			} else if n.policy.Complete(id.Key) != want {
				return fmt.Errorf("%v is complete for %v: %t, want %t", n.id.Short(), id.Key.Short(), !want, want)
			}
		}
		if !n.policy.Settled(n.x) {
			return fmt.Errorf("%v is not settled: %d tasks", n.id.Short(), n.tasks)
		}
	}
	return nil
}

// actives returns the nodes that are members.
func (w *world) actives() []*node {
	return slices.DeleteFunc(slices.Clone(w.nodes), func(n *node) bool { return !n.up || !n.member })
}

// chaos plans what happens in so much time.
func (w *world) chaos(d time.Duration) {
	pick := func(least int, do func(*node)) func() {
		return func() {
			if ns := w.actives(); len(ns) > least {
				do(ns[w.rng.IntN(len(ns))])
			}
		}
	}
	plan := func(count int, do func()) {
		for range count {
			w.after(w.upTo(d), do)
		}
	}
	plan(w.rng.IntN(8), func() { w.start(ring.Random(w.rng), &Index{}) })
	plan(w.rng.IntN(6), pick(1, w.crash))
	plan(w.rng.IntN(5), pick(1, func(n *node) { w.leave(n, w.upTo(20*time.Second)) }))
	plan(w.rng.IntN(5), w.restart)
	plan(60, pick(0, func(n *node) { n.write(w.record(), func(bool) {}) }))
	if w.rng.IntN(3) == 0 && !w.whole {
		at := w.upTo(d / 2)
		w.after(at, func() { w.split(true) })
		w.after(at+w.upTo(d/2), func() { w.split(false) })
	}
	if w.rng.IntN(2) == 0 {
		burst := w.rng.IntN(6)
		w.after(w.upTo(d), func() {
			for range burst {
				pick(1, w.crash)()
			}
		})
	}
}

// record returns a record to write, at times the next version of one.
func (w *world) record() Entry {
	e := Entry{ID: ID{Key: ring.FromUint64s(w.rng.Uint64N(40)*((1<<64-1)/40), 5)}, Version: uint64(w.now.UnixNano())}
	binary.BigEndian.PutUint64(e.ID.Rest[:], w.rng.Uint64N(2))
	return e
}

// restart starts a member anew that has crashed, half the time with its records.
func (w *world) restart() {
	down := slices.DeleteFunc(slices.Clone(w.nodes), func(n *node) bool { return w.find(n.id) != nil })
	if len(down) == 0 {
		return
	}
	old := down[w.rng.IntN(len(down))]
	x := &Index{}
	if w.rng.IntN(2) == 0 {
		old.x.Ascend(WholeRing, func(e Entry) bool { x.Put(e); return true })
	}
	w.start(old.id, x)
}

func (w *world) draw() {
	if w.rng.IntN(3) > 0 {
		w.lag = w.upTo(10 * time.Second)
	}
	if w.rng.IntN(3) == 0 {
		w.loss = 0.05
	}
	for range 1 + w.rng.IntN(30) {
		w.start(ring.Random(w.rng), &Index{})
	}
	w.run(20 * time.Second)
	for range 60 {
		ns := w.actives()
		ns[w.rng.IntN(len(ns))].write(w.record(), func(bool) {})
	}
	w.run(20 * time.Second)
}

// TestUnrest lets members join, crash, leave, come back with old records or none,
// part and meet again, while records are written. Whatever was acknowledged and
// did not lose all its holders in crashes must at all times be held by somebody,
// and after some quiet everything by its replicas alone.
func TestUnrest(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var slowest time.Duration
	var sum counts
	forSeeds(t, func(seed uint64) error {
		rng := newRand(seed ^ 1<<40)
		replicas := []int{1, 2, 3, 5, 8}[rng.IntN(5)]
		w := newWorld(seed, replicas, replicas+rng.IntN(6))
		w.draw()
		unrest := 30*time.Second + w.upTo(90*time.Second)
		w.chaos(unrest)
		w.run(unrest + 20*time.Second)
		w.loss = 0
		quiet := time.Duration(0)
		for ; quiet < 15*time.Minute && w.check() != nil && len(w.faults) == 0; quiet += 5 * time.Second {
			w.run(5 * time.Second)
		}
		mu.Lock()
		defer mu.Unlock()
		slowest = max(slowest, quiet)
		w.counts.acked, w.counts.excused = len(w.acked), len(w.excused)
		sum.add(w.counts)
		if len(w.faults) > 0 {
			return fmt.Errorf("%d replicas: %w", replicas, w.faults[0])
		}
		return w.check()
	})
	t.Logf("%+v, settled after at most %v", sum, slowest)
}

// TestComplete checks, all the time, that a root which says that it has all that
// was acknowledged does have it. Its members see at once who is there, and the
// ring does not part: what comes from the other part is not with the new root
// before it was handed over.
func TestComplete(t *testing.T) {
	t.Parallel()
	var complete, all atomic.Int64
	forSeeds(t, func(seed uint64) error {
		w := newWorld(seed, 3+int(seed%6), 10)
		w.whole = true
		w.draw()
		w.lag = 0
		w.chaos(time.Minute)
		for range 300 {
			w.run(200 * time.Millisecond)
			for id, version := range w.acked {
				root := w.find(closest(w.ids(0), id.Key, 1)[0])
				e, _ := root.x.Get(id)
				if all.Add(1); root.policy.Complete(id.Key) && !w.excused[id] {
					if complete.Add(1); e.Version < version {
						return fmt.Errorf("after %v: root %v is complete for %v with version %d, not %d",
							w.now.Sub(time.Unix(1e9, 0)), root.id.Short(), id.Key.Short(), e.Version, version)
					}
				}
			}
		}
		return nil
	})
	t.Logf("roots were complete %d times of %d", complete.Load(), all.Load())
	if complete.Load() < all.Load()/2 {
		t.Error("roots are rarely complete")
	}
}

// TestLeaveTogether lets all but two members leave, and some join, within
// seconds, while they see late who is there. Nobody crashes, so that nothing may
// be lost, though there are but one or two replicas.
func TestLeaveTogether(t *testing.T) {
	t.Parallel()
	forSeeds(t, func(seed uint64) error {
		w := newWorld(seed, 1+int(seed%2), 4)
		w.lag, w.loss = w.upTo(4*time.Second), 0.05
		for range 4 + w.rng.IntN(8) {
			w.start(ring.Random(w.rng), &Index{})
		}
		w.run(20 * time.Second)
		for range 60 {
			w.actives()[0].write(w.record(), func(bool) {})
		}
		w.run(20 * time.Second)
		for range 3 {
			w.after(w.upTo(5*time.Second), func() { w.start(ring.Random(w.rng), &Index{}) })
		}
		for _, n := range w.actives()[2:] {
			w.after(w.upTo(5*time.Second), func() { w.leave(n, time.Hour) })
		}
		w.run(time.Minute)
		w.loss = 0
		for quiet := time.Duration(0); quiet < 15*time.Minute && w.check() != nil && len(w.faults) == 0; quiet += 5 * time.Second {
			w.run(5 * time.Second)
		}
		if len(w.faults) > 0 {
			return w.faults[0]
		}
		return w.check()
	})
}
