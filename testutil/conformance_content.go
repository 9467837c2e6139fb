package testutil

import (
	"context"
	"fmt"
	"slices"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
)

var provideCases = []Case{
	{"Provide/announced", "what one router announces, every other finds", 4, provideAnnounced},
	{"Provide/local only", "without announcing, no other router finds the provider", 3, provideLocal},
	{"Provide/undefined", "an undefined CID is an error", 1, provideUndefined},
	{"Provide/cancelled", "a context that has ended is the error, at once", 3, provideCancelled},
	{"Provide/again", "providing again is no error, and makes no second record", 3, provideAgain},
	{"Provide/by multihash", "what was provided as one CID is found by another of the same multihash", 2, provideByMultihash},
	{"Provide/client", "a router in client mode provides and finds", 3, provideClient},
}

var providersCases = []Case{
	{"FindProvidersAsync/nobody", "the channel is closed empty when nobody provides", 3, providersNobody},
	{"FindProvidersAsync/undefined", "an undefined CID gives a closed channel", 2, providersUndefined},
	{"FindProvidersAsync/all", "count 0 gives every provider", 6, providersAll},
	{"FindProvidersAsync/count", "count n gives n providers where there are more", 5, providersCount},
	{"FindProvidersAsync/fewer", "count n gives all providers where there are fewer", 3, providersFewer},
	{"FindProvidersAsync/addresses", "a provider comes with addresses, also when the host knows none", 3, providersAddresses},
	{"FindProvidersAsync/once", "no provider comes twice", 4, providersOnce},
	{"FindProvidersAsync/own", "a router's own record is found without the network, with addresses", 3, providersOwn},
	{"FindProvidersAsync/unread", "cancelling ends the search though nobody reads", 4, providersUnread},
	{"FindProvidersAsync/cancelled", "a context that has ended gives a channel that is closed at once", 3, providersCancelled},
}

// provide makes routers announce a CID.
func (k *check) provide(id cid.Cid, by ...Member) {
	for _, m := range by {
		k.must("Provide", m.Provide(k.ctx, id, true))
	}
}

// found returns all providers of a CID that m finds.
func (k *check) found(m Member, id cid.Cid) []peer.AddrInfo {
	return collect(k, "FindProvidersAsync", m.FindProvidersAsync(k.ctx, id, 0))
}

// finds waits until m finds every one of the providers: not every router says
// when a record is stored.
func (k *check) finds(m Member, id cid.Cid, providers ...Member) {
	k.eventually(func() error {
		got := k.found(m, id)
		for i, p := range providers {
			if !slices.ContainsFunc(got, func(info peer.AddrInfo) bool { return info.ID == p.Host.ID() }) {
				return fmt.Errorf("provider %d of %d: not among the %d found", i+1, len(providers), len(got))
			}
		}
		return nil
	})
}

// provided announces a CID of which all routers know all providers.
func (k *check) provided(by ...Member) cid.Cid {
	id := k.cid()
	k.provide(id, by...)
	for _, m := range k.members {
		k.finds(m, id, by...)
	}
	return id
}

// distinct returns the number of peers among providers.
func distinct(infos []peer.AddrInfo) int {
	ids := make(map[peer.ID]bool)
	for _, info := range infos {
		ids[info.ID] = true
	}
	return len(ids)
}

// reachable returns an error unless info names an address of h.
func reachable(info peer.AddrInfo, h host.Host) error {
	for _, a := range h.Addrs() {
		if slices.ContainsFunc(info.Addrs, a.Equal) {
			return nil
		}
	}
	return fmt.Errorf("%d addresses, none of them of the peer", len(info.Addrs))
}

// forget makes a host forget the addresses of another, as it does some time after
// their last connection.
func forget(h, other host.Host) { h.Peerstore().ClearAddrs(other.ID()) }

// asker returns the last member.
func (k *check) asker() Member { return k.members[len(k.members)-1] }

func provideAnnounced(k *check) {
	id := k.cid()
	k.provide(id, k.members[0])
	for _, m := range k.members[1:] {
		k.finds(m, id, k.members[0])
	}
}

func provideLocal(k *check) {
	id := k.cid()
	k.must("Provide", k.members[0].Provide(k.ctx, id, false))
	for _, m := range k.members[1:] {
		if got := len(k.found(m, id)); got != 0 {
			k.errorf("another router finds %d providers, want none", got)
		}
	}
}

func provideUndefined(k *check) {
	for _, announce := range []bool{false, true} {
		k.promptly("Provide", func() {
			k.fails("Provide of an undefined CID", k.members[0].Provide(k.ctx, cid.Undef, announce))
		})
	}
}

func provideCancelled(k *check) {
	k.promptly("Provide", func() {
		k.ends("Provide", k.members[0].Provide(k.cancelled(), k.cid(), true))
	})
}

func provideAgain(k *check) {
	id := k.provided(k.members[0])
	k.provide(id, k.members[0], k.members[0])
	if got := k.found(k.asker(), id); len(got) != 1 {
		k.errorf("%d providers, want 1", len(got))
	}
}

func provideByMultihash(k *check) {
	mh := k.multihash()
	k.provide(cid.NewCidV1(cid.DagProtobuf, mh), k.members[0])
	k.finds(k.members[1], cid.NewCidV0(mh), k.members[0])
	k.finds(k.members[1], cid.NewCidV1(cid.Raw, mh), k.members[0])
}

func provideClient(k *check) {
	client := k.client()
	id := k.cid()
	k.provide(id, client, k.members[0])
	k.finds(client, id, k.members[0], client)
	k.finds(k.members[1], id, k.members[0], client)
}

func providersNobody(k *check) {
	if got := len(k.found(k.members[0], k.cid())); got != 0 {
		k.errorf("%d providers, want none", got)
	}
}

func providersUndefined(k *check) {
	k.promptly("FindProvidersAsync of an undefined CID", func() {
		for range k.members[0].FindProvidersAsync(k.ctx, cid.Undef, 0) {
			k.errorf("a provider of an undefined CID")
		}
	})
}

func providersAll(k *check) {
	id := k.provided(k.members...)
	for _, m := range k.members {
		if got, want := distinct(k.found(m, id)), len(k.members); got != want {
			k.errorf("%d providers, want %d", got, want)
		}
	}
}

func providersCount(k *check) {
	id := k.provided(k.members...)
	for count := 1; count < len(k.members); count++ {
		for _, m := range k.members {
			got := collect(k, "FindProvidersAsync", m.FindProvidersAsync(k.ctx, id, count))
			if len(got) != count {
				k.errorf("%d providers, want %d", len(got), count)
			}
		}
	}
}

func providersFewer(k *check) {
	id := k.provided(k.members[:2]...)
	got := collect(k, "FindProvidersAsync", k.asker().FindProvidersAsync(k.ctx, id, 5))
	if len(got) != 2 {
		k.errorf("%d providers, want 2", len(got))
	}
}

func providersAddresses(k *check) {
	provider := k.members[0]
	id := k.provided(provider)
	for _, m := range k.members[1:] {
		forget(m.Host, provider.Host)
		for _, info := range k.found(m, id) {
			if err := reachable(info, provider.Host); err != nil {
				k.errorf("provider with %v", err)
			}
		}
	}
}

func providersOnce(k *check) {
	providers := k.members[:3]
	id := k.provided(providers...)
	for _, p := range providers {
		forget(k.asker().Host, p.Host)
	}
	if got := k.found(k.asker(), id); distinct(got) != len(got) {
		k.errorf("%d results for %d providers", len(got), distinct(got))
	}
}

func providersOwn(k *check) {
	m, id := k.members[0], k.cid()
	k.must("Provide", m.Provide(k.ctx, id, false))
	k.silently(func(ctx context.Context) {
		got := collect(k, "FindProvidersAsync", m.FindProvidersAsync(ctx, id, 1))
		if len(got) != 1 || got[0].ID != m.Host.ID() {
			k.fatalf("%d providers, want the router itself", len(got))
		}
		if err := reachable(got[0], m.Host); err != nil {
			k.errorf("the router itself with %v", err)
		}
	})
}

func providersUnread(k *check) {
	id := k.provided(k.members...)
	ctx, cancel := context.WithCancel(k.ctx)
	defer cancel()
	var out <-chan peer.AddrInfo
	label := k.labelled(func() { out = k.asker().FindProvidersAsync(ctx, id, 0) })
	cancel()
	k.gone("a search that was cancelled", label)
	k.promptly("FindProvidersAsync after cancelling", func() {
		for range out {
		}
	})
}

func providersCancelled(k *check) {
	k.promptly("FindProvidersAsync", func() {
		for range k.members[0].FindProvidersAsync(k.cancelled(), k.cid(), 0) {
		}
	})
}
