package testutil

import (
	"context"
	"fmt"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/routing"
)

var eventCases = []Case{
	{"query events/FindProvidersAsync", "a search that asks others tells whom, before it tells what they answered", 4, eventsOf(lookProviders)},
	{"query events/FindPeer", "so does FindPeer", 4, eventsOf(lookPeer)},
	{"query events/GetValue", "so does GetValue", 4, eventsOf(lookValue)},
	{"query events/slow reader", "a slow reader gets every event, and delays the search at most", 4, eventsSlow},
	{"query events/cancelled reader", "a reader that gives up does not hang the search", 4, eventsCancelled},
	{"query events/reader gone", "a search whose reader alone gave up ends with its result", 4, eventsGone},
}

// A lookup asks the network for something that is not there.
type lookup func(k *check, ctx context.Context)

func lookProviders(k *check, ctx context.Context) {
	for range k.members[0].FindProvidersAsync(ctx, k.cid(), 0) {
		k.errorf("a provider of nothing")
	}
}

func lookPeer(k *check, ctx context.Context) { _, _ = k.members[0].FindPeer(ctx, k.stranger()) }

func lookValue(k *check, ctx context.Context) { _, _ = k.members[0].GetValue(ctx, k.key()) }

// eventsOf returns the run of a case about the events of one lookup. It looks for
// several things, since what is asked depends on where they would be.
func eventsOf(look lookup) func(k *check) {
	return func(k *check) {
		for range 8 {
			if err := ordered(k.eventsOf(look)); err != nil {
				k.fatalf("%v", err)
			}
		}
	}
}

// eventsOf returns the events of a lookup.
func (k *check) eventsOf(look lookup) []*routing.QueryEvent {
	ctx, cancel := context.WithCancel(k.ctx)
	defer cancel()
	ctx, out := routing.RegisterForQueryEvents(ctx)
	var events []*routing.QueryEvent
	read := k.spawn(func() {
		for e := range out {
			events = append(events, e)
		}
	})
	k.within(patience, "the search", k.spawn(func() { look(k, ctx) }))
	cancel()
	k.within(prompt, "the channel of query events", read)
	return events
}

// ordered returns an error unless some peers are asked, and answers come only of
// peers that were asked before.
func ordered(events []*routing.QueryEvent) error {
	asked, answered := make(map[peer.ID]bool), 0
	for i, e := range events {
		switch e.Type {
		case routing.SendingQuery:
			asked[e.ID] = true
		case routing.PeerResponse, routing.QueryError:
			answered++
			if !asked[e.ID] {
				return fmt.Errorf("event %d of %d is an answer of a peer that was not asked", i+1, len(events))
			}
		}
	}
	if len(asked) == 0 || answered == 0 {
		return fmt.Errorf("%d events, %d peers asked and %d answers, want some", len(events), len(asked), answered)
	}
	return nil
}

// full waits until the buffer of a channel of events is full and the searches
// that fill it are blocked, or have ended without.
func (k *check) full(out <-chan *routing.QueryEvent, ended <-chan struct{}) {
	k.eventually(func() error {
		select {
		case <-ended:
			k.fatalf("%d searches published %d events", manyLookups, len(out))
		default:
		}
		if len(out) < cap(out) {
			return fmt.Errorf("%d events, want %d", len(out), cap(out))
		}
		return nil
	})
}

// manyLookups publish more events than the buffer of a channel holds, if each
// publishes a question and an answer.
const manyLookups = 12

func (k *check) lookups(ctx context.Context) <-chan struct{} {
	return k.spawn(func() {
		for range manyLookups {
			lookProviders(k, ctx)
		}
	})
}

func eventsSlow(k *check) {
	ctx, cancel := context.WithCancel(k.ctx)
	defer cancel()
	ctx, out := routing.RegisterForQueryEvents(ctx)
	ended := k.lookups(ctx)
	k.full(out, ended)
	balance := make(map[peer.ID]int) // questions without an answer
	read := k.spawn(func() {
		for e := range out {
			switch e.Type {
			case routing.SendingQuery:
				balance[e.ID]++
			case routing.PeerResponse, routing.QueryError:
				balance[e.ID]--
			}
		}
	})
	k.within(2*patience, "a search with a slow reader", ended)
	k.eventually(func() error {
		if len(out) > 0 {
			return fmt.Errorf("%d events are not read", len(out))
		}
		return nil
	})
	cancel()
	k.within(prompt, "the channel of events", read)
	for _, missing := range balance {
		if missing != 0 {
			k.errorf("a peer was asked and answered, but %d events of that are missing", missing)
		}
	}
}

func eventsCancelled(k *check) {
	ctx, cancel := context.WithCancel(k.ctx)
	defer cancel()
	ctx, out := routing.RegisterForQueryEvents(ctx)
	ended := k.lookups(ctx)
	k.full(out, ended)
	cancel()
	k.within(prompt, "a search that was cancelled while its reader did not read", ended)
}

func eventsGone(k *check) {
	id := k.provided(k.members[1:]...)
	ctx, cancel := context.WithCancel(k.ctx)
	defer cancel()
	ctx, out := routing.RegisterForQueryEvents(ctx)
	ended := k.lookups(context.WithoutCancel(ctx))
	k.full(out, ended)
	cancel()
	k.within(2*patience, "a search whose reader gave up", ended)
	got := collect(k, "FindProvidersAsync", k.members[0].FindProvidersAsync(context.WithoutCancel(ctx), id, 0))
	if distinct(got) != len(k.members)-1 {
		k.errorf("%d providers after the reader gave up, want %d", distinct(got), len(k.members)-1)
	}
}
