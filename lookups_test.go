package pastry_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/routing"
	"github.com/multiformats/go-multihash"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/ring"
	"github.com/secondbit/pastry/testutil"
)

// A lookup succeeds at every instant while nodes join next to the key and take it
// over, from old nodes and from those that have just joined. A value that changes
// meanwhile is never older than what was acknowledged before.
func TestLookupsDuringJoins(t *testing.T) {
	long(t, "makes 36 hosts")
	const nodes, joiners = 28, 8 // more than a leaf set shows
	withRing(t, seeded(9, nodes, withNumbers), func(t *testing.T, c *testutil.Cluster) {
		l := &lookups{t: t, c: c, stock: newStock(), stop: make(chan struct{})}
		l.stock.fill(t, c, upTo(0, nodes), "", 300, 0)
		l.members.Store(nodes)
		for w := range 4 {
			l.work.Go(func() { l.each(func(i int) { l.provider(i*4 + w) }) })
		}
		for w := range 2 {
			l.work.Go(func() { l.each(func(i int) { l.put(i*2 + w) }) })
			l.work.Go(func() { l.each(func(i int) { l.provideToo(i*2 + w) }) })
		}
		for w := range 6 {
			l.work.Go(func() { l.each(func(i int) { l.value(i*7 + w) }) })
		}
		for range joiners {
			j, err := c.Add()
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Join(within(t, time.Minute), j); err != nil {
				t.Fatal(err)
			}
			l.members.Store(int64(j + 1)) // it looks up at once
			l.newRoot(j)
		}
		settle(t, c, time.Minute)
		l.stock.awaitReplicas(t, c, 8, time.Minute)
		close(l.stop)
		l.work.Wait()
		t.Logf("%d lookups of providers, %d of values, %d writes", l.found.Load(), l.read.Load(), l.written.Load())
		if l.found.Load() < 1000 || l.read.Load() < 500 || l.written.Load() < 100 {
			t.Error("too few to show anything")
		}
	})
}

// lookups are what goes on in a ring while nodes join it.
type lookups struct {
	t       *testing.T
	c       *testutil.Cluster
	stock   *stock
	stop    chan struct{}
	work    sync.WaitGroup
	members atomic.Int64 // nodes with an index below are active
	acked   [40]atomic.Uint64

	found, read, written atomic.Int64
}

// each calls f with 0, 1, … until the test is over, a little apart.
func (l *lookups) each(f func(i int)) {
	for i := 0; ; i++ {
		select {
		case <-l.stop:
			return
		case <-time.After(5 * time.Millisecond):
			f(i)
		}
	}
}

// from returns one of the active nodes, often one that joined last.
func (l *lookups) from(i int) *pastry.Node {
	members := int(l.members.Load())
	if i%3 == 0 {
		return l.c.Node(members - 1)
	}
	return l.c.Node(i * 5 % members)
}

func (l *lookups) provider(i int) {
	mhs := sortedKeys(l.stock.providers)
	mh := mhs[i*37%len(mhs)]
	ctx, cancel := context.WithTimeout(l.t.Context(), 10*time.Second)
	defer cancel()
	if !provides(ctx, l.from(i), multihash.Multihash(mh), l.stock.providers[mh]) {
		l.t.Errorf("content %x is not found", mh[2:6])
	}
	l.found.Add(1)
}

// newRoot has contents provided once more right after their new root has joined,
// which then knows of the new provider alone, and looks for both.
func (l *lookups) newRoot(j int) {
	o, now := l.c.Oracle(), 0
	for mh, first := range l.stock.providers {
		if o.Root(ring.FromMultihash([]byte(mh))) != l.c.Node(j) {
			continue
		}
		now++
		l.work.Go(func() {
			ctx, cancel := context.WithTimeout(l.t.Context(), 10*time.Second)
			defer cancel()
			second := l.c.Node(now % 28)
			if err := second.Provide(ctx, cid.NewCidV1(cid.Raw, multihash.Multihash(mh)), true); err != nil {
				l.t.Errorf("provide: %v", err)
			}
			for i, p := range []peer.ID{first, second.Host().ID()} {
				if !provides(ctx, l.c.Node((now+7)%28), multihash.Multihash(mh), p) {
					l.t.Errorf("provider %d of content %x is not found", i+1, mh[2:6])
				}
			}
			l.found.Add(2)
		})
	}
}

// provideToo makes another node a provider, so that a replica may know it alone.
func (l *lookups) provideToo(i int) {
	mhs := sortedKeys(l.stock.providers)
	ctx, cancel := context.WithTimeout(l.t.Context(), 10*time.Second)
	defer cancel()
	if err := l.from(i).Provide(ctx, cid.NewCidV1(cid.Raw, multihash.Multihash(mhs[i*37%len(mhs)])), true); err != nil {
		l.t.Errorf("provide: %v", err)
		return
	}
	l.written.Add(1)
}

// put writes the next number under a key that no other goroutine writes.
func (l *lookups) put(i int) {
	at := i % len(l.acked)
	number := l.acked[at].Load() + 1
	ctx, cancel := context.WithTimeout(l.t.Context(), 10*time.Second)
	defer cancel()
	if err := l.from(i).PutValue(ctx, fmt.Sprint("/n/live", at), numberedValue(number, "")); err != nil {
		l.t.Errorf("put number %d: %v", number, err)
		return
	}
	l.acked[at].Store(number)
	l.written.Add(1)
}

func (l *lookups) value(i int) {
	at := i % len(l.acked)
	least := l.acked[at].Load()
	if least == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(l.t.Context(), 10*time.Second)
	defer cancel()
	got, err := l.from(i).GetValue(ctx, fmt.Sprint("/n/live", at))
	if err != nil || binary.BigEndian.Uint64(got) < least {
		l.t.Errorf("value %d: got %x, %v, want number %d or more", at, got, err, least)
	}
	l.read.Add(1)
}

// A look-up gives the best value to the replicas that hold a worse one.
func TestSearchWritesBack(t *testing.T) {
	const nodes = 12
	withRing(t, seeded(12, nodes, withNumbers), func(t *testing.T, c *testutil.Cluster) {
		best := numberedValue(2, "best")
		missed := func(key string) (late, other int) {
			held := c.Oracle().Replicas(ring.FromKey([]byte(key)), 8)
			late = c.Index(held[5])
			for _, p := range held {
				if i := c.Index(p); i != late {
					c.Node(i).HoldValue(key, best)
				}
			}
			return late, c.Index(held[3])
		}
		for name, stale := range map[string]func(key string) (reader int){
			"put on this node alone": func(key string) int {
				if err := c.Node(3).PutValue(t.Context(), key, best, routing.Offline); err != nil {
					t.Fatal(err)
				}
				return 3
			},
			"missed by the replica that reads": func(key string) int {
				late, _ := missed(key)
				return late
			},
			"missed by a replica that is heard": func(key string) int {
				_, other := missed(key)
				return other
			},
		} {
			key := "/n/" + name
			if err := c.Node(0).PutValue(within(t, time.Minute), key, numberedValue(1, "old")); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second) // until all eight have it
			reader := stale(key)
			if got, err := c.Node(reader).GetValue(within(t, time.Minute), key, pastry.Quorum(0)); err != nil || !bytes.Equal(got, best) {
				t.Errorf("%s: got %q, %v", name, got, err)
			}
			time.Sleep(time.Second) // much less than until replicas compare
			for _, p := range c.Oracle().Replicas(ring.FromKey([]byte(key)), 8) {
				if got := c.Node(c.Index(p)).HeldValue(key); !bytes.Equal(got, best) {
					t.Errorf("%s: a replica holds %q", name, got)
				}
			}
		}
	})
}
