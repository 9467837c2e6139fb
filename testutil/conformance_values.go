package testutil

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/libp2p/go-libp2p/core/routing"
)

var putCases = []Case{
	{"PutValue/everywhere", "what one router stores, every other gets", 4, putEverywhere},
	{"PutValue/invalid", "a value that the validator refuses is an error, and is not stored", 3, putInvalid},
	{"PutValue/worse", "a value worse than the one held is an error, and does not replace it", 3, putWorse},
	{"PutValue/again", "the same value again is no error", 3, putAgain},
	{"PutValue/better", "a better value replaces another, everywhere", 4, putBetter},
	{"PutValue/namespace", "a namespace without a validator gives routing.ErrNotSupported itself", 2, putNamespace},
	{"PutValue/malformed", "a key without a namespace is an error", 2, putMalformed},
	{"PutValue/offline", "with routing.Offline the value is stored here, without the network", 2, putOffline},
	{"PutValue/cancelled", "a context that has ended is the error, at once", 3, putCancelled},
	{"PutValue/race", "of values stored at once, all routers get the best", 4, putRace},
	{"PutValue/client", "a router in client mode stores and gets", 3, putClient},
}

var getCases = []Case{
	{"GetValue/missing", "a key without a value gives routing.ErrNotFound itself", 3, getMissing},
	{"GetValue/alone", "so it does where the router is the only one", 1, getMissing},
	{"GetValue/namespace", "a namespace without a validator gives routing.ErrNotSupported itself", 2, getNamespace},
	{"GetValue/offline", "with routing.Offline only what is held here is found, without the network", 3, getOffline},
	{"GetValue/quorum", "a quorum of one, and one larger than the network, both give the value", 4, getQuorum},
	{"GetValue/cancelled", "a context that has ended is the error, at once", 3, getCancelled},
	{"GetValue/copy", "the value is the caller's, to change", 2, getCopy},
}

var searchCases = []Case{
	{"SearchValue/found", "the channel gives the value, and is closed", 3, searchFound},
	{"SearchValue/missing", "a key without a value is no error: the channel is closed empty", 3, searchMissing},
	{"SearchValue/namespace", "a namespace without a validator gives routing.ErrNotSupported itself", 2, searchNamespace},
	{"SearchValue/unread", "cancelling ends the search though nobody reads", 4, searchUnread},
	{"SearchValue/cancelled", "a context that has ended gives an error or a channel that is closed at once", 3, searchCancelled},
}

// noValidator is a key in a namespace that nobody knows.
const noValidator = "/conformance-nobody/key"

func (k *check) put(m Member, key string, value []byte, opts ...routing.Option) {
	k.must("PutValue", m.PutValue(k.ctx, key, value, opts...))
}

// gets fails the case unless m gets the value.
func (k *check) gets(m Member, key string, want []byte, opts ...routing.Option) {
	got, err := m.GetValue(k.ctx, key, opts...)
	if err != nil {
		k.fatalf("GetValue: got %q, want the value", err)
	}
	if !bytes.Equal(got, want) {
		k.errorf("GetValue: got %q, want %q", got, want)
	}
}

// absent fails the case unless GetValue says that there is nothing.
func (k *check) absent(m Member, key string, opts ...routing.Option) {
	got, err := m.GetValue(k.ctx, key, opts...)
	if err == nil {
		k.errorf("GetValue: got %q, want %q", got, routing.ErrNotFound)
		return
	}
	k.is("GetValue", err, routing.ErrNotFound)
}

// search returns all values that a search gives.
func (k *check) search(m Member, key string, opts ...routing.Option) [][]byte {
	out, err := m.SearchValue(k.ctx, key, opts...)
	if err != nil {
		k.fatalf("SearchValue: got %q, want no error", err)
	}
	return collect(k, "SearchValue", out)
}

func putEverywhere(k *check) {
	key, value := k.key(), ranked(1, "everywhere")
	k.put(k.members[0], key, value)
	for _, m := range k.members {
		k.gets(m, key, value)
	}
}

func putInvalid(k *check) {
	key := k.key()
	k.fails("PutValue of an invalid value", k.members[0].PutValue(k.ctx, key, []byte("no rank")))
	for _, m := range k.members {
		k.absent(m, key)
	}
}

func putWorse(k *check) {
	key, better := k.key(), ranked(2, "better")
	k.put(k.members[0], key, better)
	k.fails("PutValue of a worse value", k.members[0].PutValue(k.ctx, key, ranked(1, "worse")))
	for _, m := range k.members {
		k.gets(m, key, better)
	}
}

func putAgain(k *check) {
	key, value := k.key(), ranked(1, "again")
	for range 2 {
		for _, m := range k.members {
			k.put(m, key, value)
		}
	}
	k.gets(k.members[0], key, value)
}

func putBetter(k *check) {
	key := k.key()
	for rank, m := range k.members {
		value := ranked(rank, "better")
		k.put(m, key, value)
		for _, reader := range k.members {
			k.gets(reader, key, value)
		}
	}
}

func putNamespace(k *check) {
	k.is("PutValue", k.members[0].PutValue(k.ctx, noValidator, ranked(1, "")), routing.ErrNotSupported)
}

func putMalformed(k *check) {
	for _, key := range []string{"", "/", "no namespace", "/" + ranksNamespace} {
		k.fails(fmt.Sprintf("PutValue at %q", key), k.members[0].PutValue(k.ctx, key, ranked(1, "")))
	}
}

func putOffline(k *check) {
	m, key, value := k.members[0], k.key(), ranked(1, "offline")
	k.silently(func(ctx context.Context) {
		k.must("PutValue", m.PutValue(ctx, key, value, routing.Offline))
	})
	k.gets(m, key, value, routing.Offline)
}

func putCancelled(k *check) {
	k.promptly("PutValue", func() {
		k.ends("PutValue", k.members[0].PutValue(k.cancelled(), k.key(), ranked(1, "")))
	})
}

// putRace stores values of distinct ranks at once. Those that lose may be told so.
func putRace(k *check) {
	const values = 8
	key := k.key()
	var wg sync.WaitGroup
	for rank := range values {
		m := k.members[rank%len(k.members)]
		wg.Go(func() { _ = m.PutValue(k.ctx, key, ranked(rank, "race")) })
	}
	k.within(patience, "storing values at once", k.spawn(wg.Wait))
	best := ranked(values-1, "race")
	for _, m := range k.members {
		k.gets(m, key, best)
	}
}

func putClient(k *check) {
	c := k.client()
	key, value := k.key(), ranked(1, "client")
	k.put(c, key, value)
	k.gets(k.members[0], key, value)
	key = k.key()
	k.put(k.members[0], key, value)
	k.gets(c, key, value)
}

func getMissing(k *check) { k.absent(k.members[0], k.key()) }

func getNamespace(k *check) {
	_, err := k.members[0].GetValue(k.ctx, noValidator)
	k.is("GetValue", err, routing.ErrNotSupported)
}

// getOffline uses a router in client mode too, which holds nothing that others
// stored.
func getOffline(k *check) {
	key, value := k.key(), ranked(1, "offline")
	k.put(k.members[0], key, value)
	k.silently(func(ctx context.Context) {
		got, err := k.members[0].GetValue(ctx, key, routing.Offline)
		if err != nil || !bytes.Equal(got, value) {
			k.errorf("GetValue where it was stored: got %q and %s, want %q", got, quote(err), value)
		}
		_, err = k.members[0].GetValue(ctx, k.key(), routing.Offline)
		k.is("GetValue of a key without a value", err, routing.ErrNotFound)
	})
	c := k.client()
	k.absent(c, key, routing.Offline)
	k.gets(c, key, value)
}

func getQuorum(k *check) {
	if k.subject.Quorum == nil {
		k.skipf("there is no quorum option")
	}
	key, value := k.key(), ranked(1, "quorum")
	k.put(k.members[0], key, value)
	for _, m := range k.members {
		for _, n := range []int{0, 1, 2, 16} {
			k.gets(m, key, value, k.subject.Quorum(n))
		}
	}
}

func getCancelled(k *check) {
	k.promptly("GetValue", func() {
		_, err := k.members[0].GetValue(k.cancelled(), k.key())
		k.ends("GetValue", err)
	})
}

func getCopy(k *check) {
	key, want := k.key(), ranked(1, "copy")
	mine := slices.Clone(want)
	k.put(k.members[0], key, mine)
	mine[len(mine)-1]++
	for _, m := range k.members {
		for _, opt := range []routing.Option{routing.Offline, func(*routing.Options) error { return nil }} {
			got, err := m.GetValue(k.ctx, key, opt)
			if err == nil {
				got[len(got)-1]++
			}
		}
		k.gets(m, key, want)
	}
}

func searchFound(k *check) {
	key, value := k.key(), ranked(1, "found")
	k.put(k.members[0], key, value)
	for _, m := range k.members {
		if got := k.search(m, key); len(got) != 1 || !bytes.Equal(got[0], value) {
			k.errorf("SearchValue: got %q, want %q alone", got, value)
		}
	}
}

func searchMissing(k *check) {
	if got := k.search(k.members[0], k.key()); len(got) != 0 {
		k.errorf("SearchValue: got %q, want nothing", got)
	}
}

func searchNamespace(k *check) {
	out, err := k.members[0].SearchValue(k.ctx, noValidator)
	if err == nil {
		collect(k, "SearchValue", out)
	}
	k.is("SearchValue", err, routing.ErrNotSupported)
}

func searchUnread(k *check) {
	key := k.key()
	k.put(k.members[0], key, ranked(1, "unread"))
	ctx, cancel := context.WithCancel(k.ctx)
	defer cancel()
	var out <-chan []byte
	var err error
	label := k.labelled(func() { out, err = k.asker().SearchValue(ctx, key) })
	cancel()
	k.must("SearchValue", err)
	k.gone("a search that was cancelled", label)
	k.promptly("SearchValue after cancelling", func() {
		for range out {
		}
	})
}

func searchCancelled(k *check) {
	k.promptly("SearchValue", func() {
		if out, err := k.members[0].SearchValue(k.cancelled(), k.key()); err == nil {
			for range out {
			}
		}
	})
}
