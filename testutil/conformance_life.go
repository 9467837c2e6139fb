package testutil

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
)

var bootstrapCases = []Case{
	{"Bootstrap/member", "Bootstrap of a member returns at once, without an error, also again", 3, bootstrapMember},
	{"Bootstrap/alone", "so it does where the router is the only one", 1, bootstrapMember},
	{"Bootstrap/idle", "and where the router has not joined a network", 0, bootstrapIdle},
	{"all/concurrent", "all methods work when called at once from many goroutines, on all routers", 4, allConcurrent},
}

var closeCases = []Case{
	{"Close/idempotent", "Close works again, also at once from several goroutines", 3, closeIdempotent},
	{"Close/under way", "Close ends the searches under way, though nobody reads", 4, closeUnderWay},
	{"Close/later calls", "later calls fail, or give a channel that is closed", 3, closeLaterCalls},
	{"Close/goroutines", "Close leaves no goroutine of the router behind", 3, closeGoroutines},
	{"Close/unused", "so does Close of a router that has not joined a network", 0, closeUnused},
	{"Close/host", "Close leaves the host open", 2, closeHost},
}

func (k *check) bootstraps(m Member) {
	for range 2 {
		k.promptly("Bootstrap", func() {
			if err := m.Bootstrap(k.ctx); err != nil {
				k.errorf("Bootstrap: got %q, want no error", err)
			}
		})
	}
}

func bootstrapMember(k *check) {
	for _, m := range k.members {
		k.bootstraps(m)
	}
}

func bootstrapIdle(k *check) { k.bootstraps(k.newRouter(k.newHost(), RouterConfig{})) }

// allConcurrent lets every router store, provide and look for what the next one
// stored and provided, several times at once.
func allConcurrent(k *check) {
	const rounds = 4
	var wg sync.WaitGroup
	for i, m := range k.members {
		for range rounds {
			other := k.members[(i+1)%len(k.members)]
			id, key := k.cid(), k.key()
			wg.Go(func() {
				defer k.recoverPanic()
				if err := everything(k.ctx, m, other, id, key); err != nil {
					k.errorf("%v", err)
				}
			})
		}
	}
	k.within(3*patience, "calling everything at once", k.spawn(wg.Wait))
}

// everything calls each method once, and returns the first error.
func everything(ctx context.Context, m, other Member, id cid.Cid, key string) error {
	if err := m.Bootstrap(ctx); err != nil {
		return fmt.Errorf("in Bootstrap: %w", err)
	}
	if err := m.Provide(ctx, id, true); err != nil {
		return fmt.Errorf("in Provide: %w", err)
	}
	if err := m.PutValue(ctx, key, ranked(1, "concurrent")); err != nil {
		return fmt.Errorf("in PutValue: %w", err)
	}
	for range other.FindProvidersAsync(ctx, id, 1) {
	}
	if _, err := other.GetValue(ctx, key); err != nil {
		return fmt.Errorf("in GetValue: %w", err)
	}
	out, err := m.SearchValue(ctx, key)
	if err != nil {
		return fmt.Errorf("in SearchValue: %w", err)
	}
	for range out {
	}
	if _, err := m.FindPeer(ctx, other.Host.ID()); err != nil {
		return fmt.Errorf("in FindPeer: %w", err)
	}
	return nil
}

// closer returns the Close of a member's router, or skips the case.
func (k *check) closer(m Member) func() error {
	c, ok := m.Routing.(io.Closer)
	if !ok {
		k.skipf("the router has no Close")
	}
	return c.Close
}

// closes closes a router, and ends the case when that takes too long.
func (k *check) closes(m Member) {
	shut := k.closer(m)
	var err error
	k.within(patience, "Close", k.spawn(func() { err = shut() }))
	k.must("Close", err)
}

func closeIdempotent(k *check) {
	m := k.members[0]
	shut := k.closer(m)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			defer k.recoverPanic()
			if err := shut(); err != nil {
				k.errorf("Close: got %q, want no error", err)
			}
		})
	}
	k.within(patience, "Close from several goroutines", k.spawn(wg.Wait))
	k.closes(m)
}

func closeUnderWay(k *check) {
	m, key := k.asker(), k.key()
	id := k.provided(k.members...)
	k.put(m, key, ranked(1, "under way"))
	var providers <-chan peer.AddrInfo
	var values <-chan []byte
	var err error
	label := k.labelled(func() {
		providers = m.FindProvidersAsync(k.ctx, id, 0)
		values, err = m.SearchValue(k.ctx, key)
	})
	k.must("SearchValue", err)
	k.closes(m)
	k.gone("a search when its router was closed", label)
	k.promptly("FindProvidersAsync after Close", func() {
		for range providers {
		}
	})
	k.promptly("SearchValue after Close", func() {
		for range values {
		}
	})
}

func closeLaterCalls(k *check) {
	m, id, key := k.asker(), k.provided(k.members[0]), k.key()
	k.put(m, key, ranked(1, "later"))
	k.closes(m)
	for _, call := range []struct {
		name string
		run  func() error
	}{
		{"Provide", func() error { return m.Provide(k.ctx, id, true) }},
		{"Provide, locally", func() error { return m.Provide(k.ctx, id, false) }},
		{"PutValue", func() error { return m.PutValue(k.ctx, key, ranked(2, "later")) }},
		{"GetValue", func() error { return second(m.GetValue(k.ctx, key)) }},
		{"FindPeer", func() error { return second(m.FindPeer(k.ctx, k.stranger())) }},
		{"SearchValue", func() error {
			out, err := m.SearchValue(k.ctx, key)
			if err != nil {
				return err
			}
			return nothing(out)
		}},
		{"FindProvidersAsync", func() error { return nothing(m.FindProvidersAsync(k.ctx, id, 0)) }},
	} {
		var err error
		k.promptly(call.name+" after Close", func() { err = call.run() })
		k.fails(call.name+" after Close", err)
	}
}

var errNothing = errors.New("the channel gave nothing")

func second[T any](_ T, err error) error { return err }

// nothing reads a channel until it is closed, and returns an error if it gave
// nothing.
func nothing[T any](ch <-chan T) error {
	err := errNothing
	for range ch {
		err = nil
	}
	return err
}

func closeGoroutines(k *check) {
	m := k.asker()
	id := k.provided(k.members[0])
	k.found(m, id)
	_, _ = m.FindPeer(k.ctx, k.stranger())
	for _, m := range k.members {
		k.closes(m)
	}
	k.gone("a router that was closed", k.label)
}

func closeUnused(k *check) {
	k.closes(k.newRouter(k.newHost(), RouterConfig{}))
	k.gone("a router that was closed", k.label)
}

func closeHost(k *check) {
	k.closes(k.members[0])
	h := k.newHost()
	k.connect(h, addrInfo(k.members[0].Host))
}
