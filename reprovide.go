package pastry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	ds "github.com/ipfs/go-datastore"
	"github.com/multiformats/go-multihash"

	"github.com/secondbit/pastry/internal/records"
	"github.com/secondbit/pastry/internal/sweep"
)

const (
	provideCycle  = 22 * time.Hour         // in which all is announced again; records are valid for 48 hours
	provideSlices = 256                    // of a cycle
	provideDelay  = 200 * time.Millisecond // after StartProviding, as calls come together
	providePause  = time.Second            // after new contents could not be announced; doubles
	provideSlow   = time.Minute            // the longest pause
)

// ProvideStats tells how the announcing of contents gets on.
type ProvideStats struct {
	Keys      int       // contents in the set that StartProviding fills
	Due       int       // of these, those that have not been announced yet
	Announced uint64    // records stored since the node was made, those of ProvideMany too
	Failed    uint64    // records that could not be stored, every time counted
	Calls     uint64    // messages in which records were sent
	LastSweep time.Time // all that was due up to then has been announced again; zero if never
	NextSweep time.Time // when the next part of the set is due
}

// provider announces the contents of a set: soon after they come in, and then
// once a cycle.
type provider struct {
	n     *Node
	set   *provideSet
	table *sweep.Timetable // owned by run
	wake  chan struct{}    // there is something new

	calls, announced, failed atomic.Uint64

	mu         sync.Mutex // guards what follows
	last, next time.Time  // see ProvideStats
}

// startProvider opens the set of provided contents and goes on announcing it.
func (n *Node) startProvider() error {
	prefix := ds.NewKey("/pastry").ChildString(string(n.opts.protocol)).ChildString("provided")
	set, err := openProvideSet(n.ctx, n.opts.store, prefix)
	if err != nil {
		return err
	}
	swept, err := set.swept(n.ctx)
	if err != nil {
		return err
	}
	p := &provider{n: n, set: set, wake: make(chan struct{}, 1), last: swept}
	p.table = sweep.New(sweep.Config{Cycle: provideCycle, Slices: provideSlices, Turn: n.ID()}, swept)
	n.provider = p
	n.spawn(p.run)
	return nil
}

// StartProviding puts contents into the set of those that the node goes on
// providing, until StopProviding; they are in the datastore when it returns, and
// the set survives a restart. Those that were not in the set are announced soon,
// all of them if force is set, and the whole set once in 22 hours, spread evenly:
// this goes on in the background, whenever the node is part of a ring, and
// ProvideStats tells about it. Contents with a malformed multihash are left out
// and named in the error.
func (n *Node) StartProviding(force bool, keys ...multihash.Multihash) error {
	items, malformed := newProvideItems(keys)
	err := n.editProvided(func(ctx context.Context, s *provideSet) error { return s.add(ctx, force, items) })
	if err == nil {
		n.provider.stir()
	}
	return errors.Join(malformed, err)
}

// StopProviding takes contents out of the set that StartProviding fills. Others
// find this node as their provider until the last announcement has expired, at most
// 48 hours later.
func (n *Node) StopProviding(keys ...multihash.Multihash) error {
	items, malformed := newProvideItems(keys)
	return errors.Join(malformed, n.editProvided(func(ctx context.Context, s *provideSet) error { return s.remove(ctx, items) }))
}

func (n *Node) editProvided(edit func(context.Context, *provideSet) error) error {
	if !n.begin() {
		return ErrClosed
	}
	defer n.end()
	if err := edit(n.ctx, n.provider.set); err != nil {
		return fmt.Errorf("pastry: write the set of provided contents: %w", err)
	}
	return nil
}

// ProvideStats returns how the announcing of contents gets on.
func (n *Node) ProvideStats() ProvideStats {
	p := n.provider
	p.mu.Lock()
	defer p.mu.Unlock()
	return ProvideStats{
		Keys: int(p.set.keys.Load()), Due: int(p.set.fresh.Load()),
		Announced: p.announced.Load(), Failed: p.failed.Load(), Calls: p.calls.Load(),
		LastSweep: p.last, NextSweep: p.next,
	}
}

// stir makes run look for new contents.
func (p *provider) stir() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// run announces what is due until the node is closed.
func (p *provider) run() {
	var pause time.Duration // after a failure
	for {
		if err := p.n.await(p.n.ctx, p.ready); err != nil {
			return
		}
		if err := p.announceNew(); err != nil {
			pause = min(max(2*pause, providePause), provideSlow)
			log.Infow("new contents are not all announced", "again in", pause, "err", err)
		} else {
			pause = 0
		}
		p.sweep()
		if !p.sleep(pause) {
			return
		}
	}
}

// ready reports whether the node can send anything.
func (p *provider) ready() bool {
	s := p.n.State()
	return s == StateActive || s == StateClient
}

// sleep waits until there is something to do: what is new or due or, after a
// failure, whatever there is once the pause is over. It reports false when the node
// is closed.
func (p *provider) sleep(pause time.Duration) bool {
	wake, wait := p.wake, min(max(0, p.table.Deadline().Sub(wallTime().Round(0))), provideCycle/provideSlices)
	if pause > 0 {
		wake, wait = nil, min(wait, pause)
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-wake:
		return p.n.pause(p.n.ctx, provideDelay) == nil
	case <-p.n.closed:
		return false
	}
}

// announceNew announces contents that are new in the set. The error is nil unless
// some must be tried again.
func (p *provider) announceNew() error {
	for p.set.fresh.Load() > 0 {
		items, err := p.set.unannounced(p.n.ctx)
		if err != nil || len(items) == 0 {
			return err
		}
		if err := p.announce(items); err != nil {
			return err
		}
	}
	return nil
}

// sweep announces again what is due.
func (p *provider) sweep() {
	for !p.n.isClosed() && p.ready() {
		span, ok := p.table.Next(wallTime())
		if !ok {
			break
		}
		err := p.sweepSpan(span)
		if err != nil {
			log.Infow("a part of the provided contents is not announced again", "err", err)
		}
		p.table.Done(wallTime(), err == nil)
		p.note()
	}
	p.mu.Lock()
	p.next = p.table.Deadline()
	p.mu.Unlock()
}

func (p *provider) sweepSpan(span sweep.Span) error {
	if p.set.keys.Load() == 0 {
		return nil
	}
	var arc records.Arc
	arc.First, arc.Last = p.table.Arc(span)
	return p.set.inArc(p.n.ctx, arc, p.announce)
}

// note keeps what has been swept.
func (p *provider) note() {
	swept := p.table.Swept()
	p.mu.Lock()
	p.last = swept
	p.mu.Unlock()
	if err := p.set.setSwept(p.n.ctx, swept); err != nil && !p.n.isClosed() {
		p.n.events.post(EvtError{Err: fmt.Errorf("pastry: write the datastore: %w", err)})
	}
}

// announce announces contents of the set. The error says why some must be tried
// again; those that the members refuse must not.
func (p *provider) announce(items []provideItem) error {
	slices.SortFunc(items, provideItem.compare)
	var mu sync.Mutex
	var settled []provideItem
	var failure error
	p.n.provideWalk(p.n.ctx, items, func(items []provideItem, err error) {
		mu.Lock()
		defer mu.Unlock()
		if refused := (*refusedError)(nil); err != nil && !errors.As(err, &refused) {
			failure = err
			return
		}
		settled = append(settled, items...)
	})
	return errors.Join(failure, p.set.announced(p.n.ctx, settled))
}
