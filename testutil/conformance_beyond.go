package testutil

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/routing"
	"github.com/multiformats/go-multihash"
)

// Cases of what a router may have beyond the interface, and callers then use.
var beyondCases = []Case{
	{"GetPublicKey/inlined", "a key that its peer ID holds is given, without the network", 2, publicKeyInlined},
	{"GetPublicKey/stored", "a key stored as a value is found", 3, publicKeyStored},
	{"GetPublicKey/unknown", "a key that nobody has is an error", 3, publicKeyUnknown},
	{"ProvideMany/found", "of many keys provided at once, every other router finds each", 3, provideManyFound},
	{"ProvideMany/none", "no keys are no error", 2, provideManyNone},
	{"ProvideMany/cancelled", "a context that has ended is the error, at once", 3, provideManyCancelled},
	{"Ready/member", "a member is ready", 3, readyMember},
	{"Ready/closed", "a router that was closed is not ready", 2, readyClosed},
	{"GetClosestPeers/members", "the peers are members, each once", 5, closestMembers},
	{"GetClosestPeers/agree", "all routers name them in the same order, themselves apart", 5, closestAgree},
}

// fetcher returns what fetches public keys, or skips the case.
func (k *check) fetcher(m Member) routing.PubKeyFetcher {
	f, ok := m.Routing.(routing.PubKeyFetcher)
	if !ok {
		k.skipf("the router has no GetPublicKey")
	}
	return f
}

// hasKey fails the case unless m gives the public key of a peer.
func (k *check) hasKey(ctx context.Context, m Member, p peer.ID, want crypto.PubKey) {
	got, err := k.fetcher(m).GetPublicKey(ctx, p)
	if err != nil {
		k.fatalf("GetPublicKey: got %q, want the key", err)
	}
	if !got.Equals(want) {
		k.errorf("GetPublicKey: got another key")
	}
}

func publicKeyInlined(k *check) {
	_, public, err := crypto.GenerateEd25519Key(rand.Reader)
	k.must("making a key", err)
	id, err := peer.IDFromPublicKey(public)
	k.must("making a peer ID", err)
	k.silently(func(ctx context.Context) { k.hasKey(ctx, k.members[0], id, public) })
}

// publicKeyStored takes a key that is too long for its peer ID to hold it.
func publicKeyStored(k *check) {
	_, public, err := crypto.GenerateECDSAKeyPair(rand.Reader)
	k.must("making a key", err)
	id, err := peer.IDFromPublicKey(public)
	k.must("making a peer ID", err)
	value, err := crypto.MarshalPublicKey(public)
	k.must("marshalling a key", err)
	k.put(k.members[0], routing.KeyForPublicKey(id), value)
	for _, m := range k.members {
		k.hasKey(k.ctx, m, id, public)
	}
}

func publicKeyUnknown(k *check) {
	_, err := k.fetcher(k.members[0]).GetPublicKey(k.ctx, k.stranger())
	k.fails("GetPublicKey", err)
}

// provideMany is a router that provides many keys at once.
type provideMany interface {
	ProvideMany(ctx context.Context, keys []multihash.Multihash) error
}

func (k *check) provideMany() func(context.Context, []multihash.Multihash) error {
	r, ok := k.members[0].Routing.(provideMany)
	if !ok {
		k.skipf("the router has no ProvideMany")
	}
	return r.ProvideMany
}

func (k *check) multihashes(n int) []multihash.Multihash {
	mhs := make([]multihash.Multihash, n)
	for i := range mhs {
		mhs[i] = k.multihash()
	}
	return mhs
}

func provideManyFound(k *check) {
	provide := k.provideMany()
	mhs := k.multihashes(64)
	k.must("ProvideMany", provide(k.ctx, mhs))
	for _, m := range k.members[1:] {
		for _, mh := range mhs {
			k.finds(m, cid.NewCidV1(cid.Raw, mh), k.members[0])
		}
	}
}

func provideManyNone(k *check) {
	k.must("ProvideMany of no keys", k.provideMany()(k.ctx, nil))
}

func provideManyCancelled(k *check) {
	provide, mhs := k.provideMany(), k.multihashes(8)
	k.promptly("ProvideMany", func() {
		k.ends("ProvideMany", provide(k.cancelled(), mhs))
	})
}

func (k *check) ready(m Member) func() bool {
	r, ok := m.Routing.(interface{ Ready() bool })
	if !ok {
		k.skipf("the router has no Ready")
	}
	return r.Ready
}

func readyMember(k *check) {
	for _, m := range k.members {
		ready := k.ready(m)
		k.eventually(func() error {
			if !ready() {
				return errors.New("a member is not ready")
			}
			return nil
		})
	}
}

func readyClosed(k *check) {
	ready := k.ready(k.members[0])
	k.closes(k.members[0])
	if ready() {
		k.errorf("a router that was closed is ready")
	}
}

// closest returns the peers that m names for a key, or skips the case.
func (k *check) closest(m Member, key string) []peer.ID {
	r, ok := m.Routing.(closestPeers)
	if !ok {
		k.skipf("the router has no GetClosestPeers")
	}
	ps, err := r.GetClosestPeers(k.ctx, key)
	k.must("GetClosestPeers", err)
	return ps
}

func closestMembers(k *check) {
	for _, m := range k.members {
		key := k.key()
		k.eventually(func() error { return k.namesMembers(k.closest(m, key)) })
	}
}

// namesMembers returns an error unless the peers are members, all but one of them
// at least, each once.
func (k *check) namesMembers(ps []peer.ID) error {
	left := make(map[peer.ID]bool)
	for _, m := range k.members {
		left[m.Host.ID()] = true
	}
	for _, p := range ps {
		if !left[p] {
			return errors.New("a peer that is no member, or came before")
		}
		delete(left, p)
	}
	if len(left) > 1 {
		return fmt.Errorf("%d peers, want %d at least", len(ps), len(k.members)-1)
	}
	return nil
}

// closestAgree gives the routers time to hear of those that joined last.
func closestAgree(k *check) {
	for range 8 {
		key := k.key()
		k.eventually(func() error { return k.agree(key) })
	}
}

// agree returns an error if two routers name different peers for a key.
func (k *check) agree(key string) error {
	first := k.closest(k.members[0], key)
	for _, m := range k.members[1:] {
		a, b := slices.Clone(first), k.closest(m, key)
		themselves := func(p peer.ID) bool { return p == m.Host.ID() || p == k.members[0].Host.ID() }
		if !slices.Equal(slices.DeleteFunc(a, themselves), slices.DeleteFunc(b, themselves)) {
			return errors.New("two routers name other peers, or in another order")
		}
	}
	return nil
}
