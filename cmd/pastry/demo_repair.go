package main

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/secondbit/pastry"
)

// repair says how far the survivors have come to terms with the deaths. Times
// are from the kill on, and 0 while what they tell has not come.
type repair struct {
	right    int           // survivors whose leaf set is exact
	detected time.Duration // no leaf set names a dead node any more
	exact    time.Duration // all leaf sets are exact
}

// repairWatch follows the leaf sets of the survivors, by their events.
type repairWatch struct {
	want    map[*member]map[peer.ID]bool // exact leaf sets
	live    map[peer.ID]bool
	start   time.Time
	subs    []event.Subscription
	changed chan struct{} // some leaf set has; holds one
	news    chan struct{} // repair has; holds one
	work    sync.WaitGroup

	mu     sync.Mutex // guards repair
	repair repair
}

// watchRepair starts to watch those that are live, until stop.
func watchRepair(c *cluster, leafSet int) (*repairWatch, error) {
	w := &repairWatch{want: make(map[*member]map[peer.ID]bool), live: make(map[peer.ID]bool), start: time.Now(),
		changed: make(chan struct{}, 1), news: make(chan struct{}, 1)}
	for _, m := range c.live() {
		sub, err := m.host.EventBus().Subscribe(new(pastry.EvtLeafSetChanged))
		if err != nil {
			w.stop()
			return nil, fmt.Errorf("watch leaf sets: %w", err)
		}
		w.subs = append(w.subs, sub)
		w.want[m], w.live[m.host.ID()] = c.leaves(m, leafSet/2), true
		w.work.Go(func() {
			for range sub.Out() {
				tell(w.changed)
			}
		})
	}
	return w, nil
}

// tell fills a channel that holds one.
func tell(ch chan<- struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// run looks at the leaf sets whenever one has changed, until ctx ends.
func (w *repairWatch) run(ctx context.Context) {
	for {
		w.look()
		select {
		case <-w.changed:
		case <-ctx.Done():
			return
		}
	}
}

func (w *repairWatch) look() {
	right, dead := 0, false
	for m, want := range w.want {
		got := make(map[peer.ID]bool)
		for _, p := range m.node.Neighbors() {
			got[p] = true
			dead = dead || !w.live[p]
		}
		if maps.Equal(got, want) {
			right++
		}
	}
	since := time.Since(w.start)
	w.mu.Lock()
	w.repair.right = right
	note(&w.repair.detected, !dead, since)
	note(&w.repair.exact, right == len(w.want), since)
	w.mu.Unlock()
	tell(w.news)
}

// note sets at when something has come true, and back when it no longer is.
func note(at *time.Duration, is bool, now time.Duration) {
	switch {
	case !is:
		*at = 0
	case *at == 0:
		*at = now
	}
}

// await waits until all leaf sets are exact or ctx ends, and returns how far
// they are.
func (w *repairWatch) await(ctx context.Context, show func(right int)) repair {
	for {
		w.mu.Lock()
		r := w.repair
		w.mu.Unlock()
		show(r.right)
		if r.exact > 0 {
			return r
		}
		select {
		case <-w.news:
		case <-ctx.Done():
			return r
		}
	}
}

func (w *repairWatch) stop() {
	for _, sub := range w.subs {
		_ = sub.Close() // always nil
	}
	w.work.Wait()
}

// awaitRepair waits for exact leaf sets, with progress.
func (d *demo) awaitRepair(ctx context.Context, w *repairWatch) repair {
	ctx, cancel := context.WithTimeout(ctx, d.repairTimeout)
	defer cancel()
	d.steps.begin("repair", len(w.want))
	r := w.await(ctx, d.steps.set)
	if r.exact > 0 {
		d.steps.end("the dead were out of all leaf sets after %.1f s, which were exact after %.1f s",
			r.detected.Seconds(), r.exact.Seconds())
		return r
	}
	d.report.lose("only %d of %d leaf sets were exact after %v", r.right, len(w.want), time.Since(w.start).Round(time.Millisecond))
	d.steps.end("%d of %d leaf sets are exact; going on without", r.right, len(w.want))
	return r
}
