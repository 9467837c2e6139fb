package pastry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/multiformats/go-multihash"

	"github.com/secondbit/pastry/internal/records"
	"github.com/secondbit/pastry/ring"
)

// EvtProvideProgress says how far a ProvideMany is. It comes once a second, and
// at the end.
type EvtProvideProgress struct {
	Done   int // records stored
	Total  int // contents that are being provided, each counted once
	Failed int // records that could not be stored
}

const (
	progressEvery = time.Second
	namedFaults   = 4 // in one error
)

// ProvideMany says that this node's host provides contents, like Provide, which
// it does with far fewer messages when they are many: the records travel in
// batches, each to a member that has them stored on all the replica sets it
// sees. It returns when every record is stored or has failed, or ctx ends;
// records that were stored by then stay. EvtProvideProgress tells how it gets on.
//
// The error says how many were not stored, and wraps ErrNotStored and the reasons
// met. A member holds 524,288 records of one host unless WithRecordLimits says
// otherwise, which in a small ring bounds what a host can provide:
// ErrRecordFull. Contents with a malformed multihash are left out and named in the error;
// the others are provided all the same.
func (n *Node) ProvideMany(ctx context.Context, keys []multihash.Multihash) error {
	if !n.begin() {
		return ErrClosed
	}
	defer n.end()
	items, malformed := newProvideItems(keys)
	if len(items) == 0 {
		return malformed
	}
	t := &provideTally{n: n, total: len(items)}
	end := t.publish()
	n.provideWalk(ctx, items, t.take)
	end()
	return errors.Join(malformed, t.err())
}

// provideItem is a content to be announced.
type provideItem struct {
	key   ring.ID
	mh    multihash.Multihash
	tries int // that ended without a verdict
}

func newProvideItem(mh multihash.Multihash) provideItem {
	return provideItem{key: ring.FromMultihash(mh), mh: mh}
}

// compare orders items along the ring.
func (i provideItem) compare(o provideItem) int {
	if c := i.key.Compare(o.key); c != 0 {
		return c
	}
	return slices.Compare(i.mh, o.mh)
}

// newProvideItems returns contents in ring order, each once, and an error that
// names some of those whose multihash is malformed.
func newProvideItems(keys []multihash.Multihash) ([]provideItem, error) {
	items := make([]provideItem, 0, len(keys))
	var faults []error
	bad := 0
	for _, mh := range keys {
		err := records.CheckMultihash(mh)
		if err == nil {
			items = append(items, newProvideItem(mh))
			continue
		}
		if bad++; bad <= namedFaults {
			faults = append(faults, fmt.Errorf("%.40x: %w", []byte(mh), err))
		}
	}
	slices.SortFunc(items, provideItem.compare)
	items = slices.CompactFunc(items, func(a, b provideItem) bool { return a.compare(b) == 0 })
	if bad == 0 {
		return items, nil
	}
	return items, fmt.Errorf("pastry: %d of %d contents have a malformed multihash: %w", bad, len(keys), errors.Join(faults...))
}

// provideTally counts what became of the records of one ProvideMany.
type provideTally struct {
	n     *Node
	total int

	mu           sync.Mutex // guards what follows
	done, failed int
	reasons      []error // the first of each kind
}

// take counts records that have been dealt with.
func (t *provideTally) take(items []provideItem, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err == nil {
		t.done += len(items)
		return
	}
	t.failed += len(items)
	same := func(r error) bool { return r.Error() == err.Error() }
	if len(t.reasons) < namedFaults && !slices.ContainsFunc(t.reasons, same) {
		t.reasons = append(t.reasons, err)
	}
}

func (t *provideTally) progress() EvtProvideProgress {
	t.mu.Lock()
	defer t.mu.Unlock()
	return EvtProvideProgress{Done: t.done, Total: t.total, Failed: t.failed}
}

// publish emits the progress now and then until the returned function is called,
// which emits it for the last time.
func (t *provideTally) publish() (end func()) {
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(progressEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				t.n.events.post(t.progress())
			case <-stop:
				t.n.events.post(t.progress())
				return
			}
		}
	})
	return func() { close(stop); wg.Wait() }
}

func (t *provideTally) err() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.failed == 0 {
		return nil
	}
	return fmt.Errorf("%w: %d of %d: %w", ErrNotStored, t.failed, t.total, errors.Join(t.reasons...))
}
