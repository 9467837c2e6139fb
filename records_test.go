package pastry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multihash"
	"google.golang.org/protobuf/proto"

	records "github.com/secondbit/pastry/internal/records0"
	"github.com/secondbit/pastry/pb"
	"github.com/secondbit/pastry/ring"
)

// LoopbackRing returns the given number of nodes, on hosts of their own on
// loopback, that have joined one after another and know each other. They are
// closed, and their hosts, when the test ends. The leaf set must hold them all.
func LoopbackRing(t testing.TB, size int, opts ...Option) []*Node {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var nodes []*Node
	var subs []event.Subscription
	for i := range size {
		h, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"), libp2p.DisableMetrics())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { h.Close() })
		n, err := New(h, opts...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { n.Close() })
		sub, err := h.EventBus().Subscribe(new(EvtLeafSetChanged))
		if err != nil {
			t.Fatal(err)
		}
		defer sub.Close()
		subs = append(subs, sub)
		var seeds []peer.AddrInfo
		if i > 0 {
			seeds = []peer.AddrInfo{*peerInfo(nodes[i/2])}
		}
		if err := n.Join(ctx, seeds...); err != nil {
			t.Fatalf("node %d: %v", i, err)
		}
		nodes = append(nodes, n)
	}
	for i, n := range nodes {
		for len(n.Neighbors()) < size-1 {
			select {
			case <-subs[i].Out():
			case <-ctx.Done():
				t.Fatalf("node %d knows %d others, want %d", i, len(n.Neighbors()), size-1)
			}
		}
	}
	return nodes
}

func peerInfo(n *Node) *peer.AddrInfo {
	return &peer.AddrInfo{ID: n.Host().ID(), Addrs: n.Host().Addrs()}
}

// RootFirst orders nodes by their distance to the key of c.
func RootFirst(nodes []*Node, c cid.Cid) []*Node {
	key := ring.FromMultihash(c.Hash())
	nodes = slices.Clone(nodes)
	slices.SortFunc(nodes, func(a, b *Node) int {
		if ring.Closer(key, a.ID(), b.ID()) {
			return -1
		}
		return 1
	})
	return nodes
}

// ContentCID returns the CID of some content.
func ContentCID(t testing.TB, content string) cid.Cid {
	t.Helper()
	mh, err := multihash.Sum([]byte(content), multihash.SHA2_256, -1)
	if err != nil {
		t.Fatal(err)
	}
	return cid.NewCidV1(cid.Raw, mh)
}

// found collects the peers a node finds, sorted.
func found(t *testing.T, n *Node, c cid.Cid) []peer.ID {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var ps []peer.ID
	for info := range n.FindProvidersAsync(ctx, c, 0) {
		ps = append(ps, info.ID)
	}
	slices.Sort(ps)
	return ps
}

func idsOf(nodes ...*Node) []peer.ID {
	var ps []peer.ID
	for _, n := range nodes {
		ps = append(ps, n.Host().ID())
	}
	slices.Sort(ps)
	return ps
}

func keeperOf(t *testing.T, n *Node) *keeper {
	t.Helper()
	k, err := n.keeper()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// forget makes a node hold nothing, like one that has just become root.
func forget(t *testing.T, n *Node) {
	k := keeperOf(t, n)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.held = records.NewStore(recordLimits)
}

// sealedProvider returns what n would send about c, changed by edit.
func sealedProvider(t *testing.T, n *Node, c cid.Cid, edit func(*records.Provider)) *pb.Provider {
	t.Helper()
	p := &records.Provider{Multihash: c.Hash(), Peer: n.Host().ID(), Seq: uint64(time.Now().UnixNano()), Expires: time.Now().Add(time.Hour)}
	if edit != nil {
		edit(p)
	}
	sealed, err := p.Seal(n.signer.key)
	if err != nil {
		t.Fatal(err)
	}
	return &pb.Provider{Record: sealed, PeerRecord: n.self.Load().Record}
}

// A provider is stored at the nodes closest to the key, on a majority of them
// by the time Provide returns.
func TestProvideStoresAtReplicaSet(t *testing.T) {
	const replicas = 4
	nodes := LoopbackRing(t, 9, WithReplication(replicas))
	for i := range 5 {
		c := ContentCID(t, fmt.Sprint(i))
		if err := nodes[i].Provide(t.Context(), c, true); err != nil {
			t.Fatal(err)
		}
		holders := 0
		for place, n := range RootFirst(nodes, c) {
			if !keeperOf(t, n).has(c.Hash()) {
				continue
			}
			holders++
			if place >= replicas {
				t.Errorf("%s: held by the node at place %d, want only the closest %d", c, place, replicas)
			}
		}
		if holders <= replicas/2 {
			t.Errorf("%s: held by %d nodes, want a majority of %d", c, holders, replicas)
		}
	}
}

func TestNewRootAsksReplicas(t *testing.T) {
	nodes := LoopbackRing(t, 6)
	c := ContentCID(t, "content")
	order := RootFirst(nodes, c)
	root, provider, finder := order[0], order[1], order[5]
	if err := provider.Provide(t.Context(), c, true); err != nil {
		t.Fatal(err)
	}
	forget(t, root)
	forget(t, finder)
	if diff := cmp.Diff(found(t, finder, c), idsOf(provider)); diff != "" {
		t.Errorf("providers differ (-got +want):\n%s", diff)
	}
	if !keeperOf(t, root).has(c.Hash()) {
		t.Error("the root does not hold what it was told by the replicas")
	}
}

// Two majorities of a replica set have a member in common, so a new root learns
// of earlier providers from those that store a new one.
func TestNewRootLearnsEarlierProviders(t *testing.T) {
	nodes := LoopbackRing(t, 8)
	c := ContentCID(t, "content")
	order := RootFirst(nodes, c)
	if err := order[1].Provide(t.Context(), c, true); err != nil {
		t.Fatal(err)
	}
	forget(t, order[0])
	if err := order[2].Provide(t.Context(), c, true); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(found(t, order[0], c), idsOf(order[1], order[2])); diff != "" {
		t.Errorf("providers differ (-got +want):\n%s", diff)
	}
}

func TestKeeperRefusesRecords(t *testing.T) {
	nodes := LoopbackRing(t, 2)
	n, other := nodes[0], nodes[1]
	k := keeperOf(t, n)
	c := ContentCID(t, "content")
	good := sealedProvider(t, other, c, nil)
	for name, p := range map[string]*pb.Provider{
		"missing":                nil,
		"empty":                  {},
		"garbage":                {Record: []byte("garbage")},
		"signed by another peer": sealedProvider(t, other, c, func(p *records.Provider) { p.Peer = n.Host().ID() }),
		"of another content":     sealedProvider(t, other, ContentCID(t, "other"), nil),
		"expired":                sealedProvider(t, other, c, func(p *records.Provider) { p.Expires = time.Now().Add(-time.Second) }),
		"peer record of another": {Record: good.Record, PeerRecord: n.self.Load().Record},
		"garbage as peer record": {Record: good.Record, PeerRecord: []byte("garbage")},
		"peer record as record":  {Record: good.PeerRecord, PeerRecord: good.PeerRecord},
	} {
		t.Run(name, func(t *testing.T) {
			if got := k.hold(c.Hash(), p); got != pb.RecordStatus_RECORD_STATUS_REFUSED {
				t.Errorf("got %v, want it refused", got)
			}
			if k.has(c.Hash()) {
				t.Error("the record is held")
			}
		})
	}
	if got := k.hold(c.Hash(), good); got != pb.RecordStatus_RECORD_STATUS_OK {
		t.Errorf("a good record: got %v, want OK", got)
	}
}

// Whatever a record says, it is not held for more than 48 hours.
func TestKeeperCapsValidity(t *testing.T) {
	n := LoopbackRing(t, 1)[0]
	k := keeperOf(t, n)
	c := ContentCID(t, "content")
	p := sealedProvider(t, n, c, func(p *records.Provider) { p.Expires = p.Expires.AddDate(1000, 0, 0) })
	if got := k.hold(c.Hash(), p); got != pb.RecordStatus_RECORD_STATUS_OK {
		t.Fatalf("got %v, want OK", got)
	}
	if got := k.get(c.Hash(), 1)[0].Expires; got.After(time.Now().Add(providerValidity)) {
		t.Errorf("held until %v", got)
	}
}

func TestDeliverRefusesRequests(t *testing.T) {
	n := LoopbackRing(t, 1)[0]
	mh := ContentCID(t, "content").Hash()
	key := ring.FromMultihash(mh)
	request := func(kind pb.RecordKind, mh []byte) []byte {
		b, err := proto.Marshal(&pb.RecordRequest{Kind: kind, Multihash: mh, Limit: 1})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	const get = pb.RecordKind_RECORD_KIND_GET_PROVIDERS
	for _, test := range []struct {
		name    string
		key     ring.ID
		payload []byte
	}{
		{"empty", key, nil},
		{"garbage", key, []byte("garbage")},
		{"no kind", key, request(0, mh)},
		{"unknown kind", key, request(99, mh)},
		{"no multihash", key, request(get, nil)},
		{"long multihash", key, request(get, make([]byte, records.MaxMultihash+1))},
		{"malformed multihash", key, request(get, mh[:10])},
		{"sent to another key", ring.FromKey([]byte("elsewhere")), request(get, mh)},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := &Message{App: recordsApp, Key: test.key, Payload: test.payload}
			if reply, err := keeperOf(t, n).Deliver(t.Context(), m); !errors.Is(err, ErrMalformed) {
				t.Errorf("got %q, %v, want an error that wraps ErrMalformed", reply, err)
			}
		})
	}
}

// An answer has at most 200 providers and fits a frame.
func TestProvidersFitAnswer(t *testing.T) {
	n := LoopbackRing(t, 1)[0]
	mh := ContentCID(t, "content").Hash()
	for _, test := range []struct {
		name      string
		record    int // bytes
		limit     uint32
		want, min int
	}{
		{"none wanted", 100, 0, 0, 0},
		{"few wanted", 100, 3, 3, 3},
		{"all wanted", 100, 1 << 31, maxProviders, maxProviders},
		{"large records", maxRecord, maxProviders, maxPayload / maxRecord, 50},
	} {
		t.Run(test.name, func(t *testing.T) {
			forget(t, n)
			k := keeperOf(t, n)
			for i := range 300 {
				k.held.Add(time.Now(), records.Record{
					Provider:   records.Provider{Multihash: mh, Peer: peer.ID(fmt.Sprint(i)), Expires: time.Now().Add(time.Hour)},
					PeerRecord: make([]byte, test.record),
				})
			}
			got := k.providers(mh, test.limit)
			if len(got) > test.want || len(got) < test.min {
				t.Errorf("got %d providers, want %d to %d", len(got), test.min, test.want)
			}
			if size := proto.Size(&pb.RecordResponse{Providers: got}); size > maxPayload {
				t.Errorf("the answer has %d bytes, may have %d", size, maxPayload)
			}
		})
	}
}

// answerer stands in for the keeper of a root.
type answerer struct {
	answer func(try int64) (*pb.RecordResponse, error)
	tries  atomic.Int64
}

func (*answerer) Forward(context.Context, *Message, peer.ID) bool { return true }

func (a *answerer) Deliver(context.Context, *Message) ([]byte, error) {
	resp, err := a.answer(a.tries.Add(1))
	if err != nil {
		return nil, err
	}
	return proto.Marshal(resp)
}

// replaceKeeper makes nodes answer record requests in another way.
func replaceKeeper(t *testing.T, answer func(try int64) (*pb.RecordResponse, error), nodes ...*Node) {
	t.Helper()
	for _, n := range nodes {
		n.mu.Lock()
		n.apps[recordsApp] = &app{Application: &answerer{answer: answer}, running: make(chan struct{}, maxRunning)}
		n.mu.Unlock()
	}
}

func TestFinderDropsForgedAndExpired(t *testing.T) {
	nodes := LoopbackRing(t, 3)
	c := ContentCID(t, "content")
	order := RootFirst(nodes, c)
	root, good, finder := order[0], order[1], order[2]
	stranger := &pb.Provider{Record: bytes.Clone(sealedProvider(t, finder, c, nil).Record)}
	stranger.Record[len(stranger.Record)-1] ^= 1
	resp := &pb.RecordResponse{Providers: []*pb.Provider{
		nil,
		stranger,
		sealedProvider(t, root, ContentCID(t, "other"), nil),
		sealedProvider(t, root, c, func(p *records.Provider) { p.Expires = time.Now().Add(-time.Minute) }),
		sealedProvider(t, root, c, func(p *records.Provider) { p.Peer = finder.Host().ID() }),
		sealedProvider(t, good, c, nil),
		sealedProvider(t, good, c, nil),
	}}
	replaceKeeper(t, func(int64) (*pb.RecordResponse, error) { return resp, nil }, root)
	if diff := cmp.Diff(found(t, finder, c), idsOf(good)); diff != "" {
		t.Errorf("providers differ (-got +want):\n%s", diff)
	}
}

func TestProvideOutcomes(t *testing.T) {
	nodes := LoopbackRing(t, 2)
	c := ContentCID(t, "content")
	order := RootFirst(nodes, c)
	root, provider := order[0], order[1]
	failing := errors.New("the application fails")
	for _, test := range []struct {
		name   string
		answer func(try int64) (*pb.RecordResponse, error)
		want   error
	}{
		{"root fails once", func(try int64) (*pb.RecordResponse, error) {
			if try == 1 {
				return nil, failing
			}
			return &pb.RecordResponse{}, nil
		}, nil},
		{"root fails", func(int64) (*pb.RecordResponse, error) { return nil, failing }, ErrNotStored},
		{"root refuses", func(int64) (*pb.RecordResponse, error) {
			return &pb.RecordResponse{Status: pb.RecordStatus_RECORD_STATUS_REFUSED}, nil
		}, ErrNotStored},
		{"root is full", func(int64) (*pb.RecordResponse, error) {
			return &pb.RecordResponse{Status: pb.RecordStatus_RECORD_STATUS_FULL}, nil
		}, ErrNotStored},
	} {
		t.Run(test.name, func(t *testing.T) {
			replaceKeeper(t, test.answer, root)
			if err := provider.Provide(t.Context(), c, true); !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
}

// A root that only a minority of the answering replicas followed does not say
// that the record is stored.
func TestProvideNeedsMajority(t *testing.T) {
	nodes := LoopbackRing(t, 4, WithReplication(4))
	c := ContentCID(t, "content")
	order := RootFirst(nodes, c)
	replaceKeeper(t, func(int64) (*pb.RecordResponse, error) {
		return &pb.RecordResponse{Status: pb.RecordStatus_RECORD_STATUS_FULL}, nil
	}, order[1:]...)
	k := keeperOf(t, order[0])
	err := k.replicate(t.Context(), &pb.RecordRequest{Kind: pb.RecordKind_RECORD_KIND_ADD_PROVIDER,
		Multihash: c.Hash(), Provider: sealedProvider(t, order[0], c, nil)})
	if !errors.Is(err, errReplicas) {
		t.Errorf("got %v, want %v", err, errReplicas)
	}
}
