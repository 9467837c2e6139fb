package testutil

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/routing"
)

// Cases of values that expire, and of routers that hold an old one.
var freshnessCases = []Case{
	{"GetValue/expired", "a value that its validator refuses by now is not returned, here or elsewhere", 3, getExpired},
	{"SearchValue/expired", "nor does a search give it", 3, searchExpired},
	{"GetValue/expired allowed", "routing.Expired gives it, when nothing better is known", 3, getExpiredAllowed},
	{"GetValue/stale", "a router that holds an old value gets the best", 5, getStale},
	{"SearchValue/stale", "a router that holds an old value is given strictly better ones, the best last", 5, searchStale},
	{"GetValue/repair", "what was got is written back to a holder of an old value", 5, getRepair},
}

func getExpired(k *check) {
	key, value := k.key(), ranked(1, "expired")
	k.put(k.members[0], key, value)
	k.expire(value)
	for _, m := range k.members {
		k.absent(m, key)
		k.absent(m, key, routing.Offline)
	}
}

func searchExpired(k *check) {
	key, value := k.key(), ranked(1, "expired")
	k.put(k.members[0], key, value)
	k.expire(value)
	for _, m := range k.members {
		if got := k.search(m, key); len(got) != 0 {
			k.errorf("SearchValue: got %q, want nothing", got)
		}
	}
}

func getExpiredAllowed(k *check) {
	m, key, value := k.members[0], k.key(), ranked(1, "expired")
	k.put(m, key, value)
	k.expire(value)
	k.gets(m, key, value, routing.Expired, routing.Offline)
	k.gets(m, key, value, routing.Expired)
	better := ranked(2, "valid")
	k.put(m, key, better)
	k.gets(m, key, better, routing.Expired)
}

// stale stores an old value and then the best, which one router has refused, so
// that it still holds the old one. It returns the index of that router: the one
// on which storing depends least.
func (k *check) stale(key string, old, best []byte) int {
	k.put(k.members[0], key, old)
	i := k.farthest(key)
	k.ranks[i].expire(best, true)
	k.put(k.members[0], key, best)
	k.ranks[i].expire(best, false)
	return i
}

// farthest returns the index of the router, not the first, that is the last to
// hold a key, if routers can tell, or else of the last one.
func (k *check) farthest(key string) int {
	r, ok := k.members[0].Routing.(closestPeers)
	if !ok {
		return len(k.members) - 1
	}
	ps, err := r.GetClosestPeers(k.ctx, key)
	k.must("GetClosestPeers", err)
	for _, p := range slices.Backward(ps) {
		i := slices.IndexFunc(k.members, func(m Member) bool { return m.Host.ID() == p })
		if i > 0 {
			return i
		}
	}
	return len(k.members) - 1
}

// closestPeers is a router that tells who holds a key.
type closestPeers interface {
	GetClosestPeers(ctx context.Context, key string) ([]peer.ID, error)
}

func getStale(k *check) {
	key, best := k.key(), ranked(2, "best")
	k.gets(k.members[k.stale(key, ranked(1, "old"), best)], key, best)
}

// searchStale searches at the router that holds the old value, and, for another
// key, at one that holds the best.
func searchStale(k *check) {
	for _, fromStale := range []bool{true, false} {
		key, best := k.key(), ranked(2, "best")
		reader := k.members[k.stale(key, ranked(1, "old"), best)]
		if !fromStale {
			reader = k.members[0]
		}
		got := k.search(reader, key)
		if err := increasing(got); err != nil {
			k.errorf("SearchValue: %v", err)
		}
		if !bytes.Equal(last(got), best) {
			k.errorf("SearchValue: got %q, want %q last", got, best)
		}
	}
}

// getRepair reads elsewhere, and then looks at the stale router when it is the
// only one left.
func getRepair(k *check) {
	key, best := k.key(), ranked(2, "best")
	i := k.stale(key, ranked(1, "old"), best)
	before := k.ranks[i].took(best)
	reader := k.members[0]
	k.eventually(func() error {
		k.gets(reader, key, best)
		if k.ranks[i].took(best) == before {
			return fmt.Errorf("the best value is not written back")
		}
		return nil
	})
	for j, m := range k.members {
		if c, ok := m.Routing.(io.Closer); ok && j != i {
			_ = c.Close()
		}
	}
	k.eventually(func() error {
		got, err := k.members[i].GetValue(k.ctx, key, routing.Offline)
		if err != nil || !bytes.Equal(got, best) {
			return fmt.Errorf("the best value is not written back: got %q and %s", got, quote(err))
		}
		return nil
	})
}
