package pastry

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	"google.golang.org/protobuf/proto"

	"github.com/secondbit/pastry/internal/records"
	"github.com/secondbit/pastry/pb"
	"github.com/secondbit/pastry/ring"
)

// aloneNode returns a node that is a ring by itself, on a host that listens
// nowhere.
func aloneNode(t testing.TB, opts ...Option) *Node {
	t.Helper()
	n := nodeOn(t, func() (host.Host, error) { return libp2p.New(libp2p.NoListenAddrs, libp2p.DisableMetrics()) }, opts...)
	if err := n.Join(t.Context()); err != nil {
		t.Fatal(err)
	}
	return n
}

func recordID(c cid.Cid, provider *Node) records.ID {
	return records.NewID(records.TypeProvider, c.Hash(), provider.Host().ID())
}

// A provider is stored at the nodes closest to the key, on a majority of them
// by the time Provide returns.
func TestProvideStoresAtReplicaSet(t *testing.T) {
	const replicas = 4
	nodes := LoopbackRing(t, 9, WithReplication(replicas))
	contents := []cid.Cid{peer.ToCid(nodes[8].Host().ID())} // whose key is the ID of a member
	for i := range 5 {
		contents = append(contents, ContentCID(t, fmt.Sprint(i)))
	}
	for i, c := range contents {
		if err := nodes[i].Provide(t.Context(), c, true); err != nil {
			t.Fatal(err)
		}
		holders := 0
		for place, n := range RootFirst(nodes, c) {
			if !Holds(n, recordID(c, nodes[i])) {
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

// A root that has lost what it held asks the other replicas, and takes it in.
func TestRootAsksReplicas(t *testing.T) {
	nodes := LoopbackRing(t, 6)
	c := ContentCID(t, "content")
	order := RootFirst(nodes, c)
	root, provider, finder := order[0], order[1], order[5]
	if err := provider.Provide(t.Context(), c, true); err != nil {
		t.Fatal(err)
	}
	for _, n := range []*Node{root, finder} {
		if err := Forget(t.Context(), n); err != nil {
			t.Fatal(err)
		}
	}
	reply, err := AskRoot(t.Context(), finder, ring.FromMultihash(c.Hash()), findCall(&pb.FindCall{
		Type: pb.RecordType_RECORD_TYPE_PROVIDER, Name: c.Hash(), Limit: 10}))
	if err != nil {
		t.Fatal(err)
	}
	found := reply.GetFind()
	if len(found.GetRecords()) != 1 || len(found.GetPeers()) != 1 || found.Total != 1 || found.Heard < 4 {
		t.Errorf("got %d records, %d peers, %d in all, %d replicas heard; want 1, 1, 1 and a majority of 6",
			len(found.GetRecords()), len(found.GetPeers()), found.GetTotal(), found.GetHeard())
	}
	if !Holds(root, recordID(c, provider)) {
		t.Error("the root does not hold what it was told by the replicas")
	}
}

// Whatever a record says, it is not held for more than 48 hours.
func TestKeeperCapsValidity(t *testing.T) {
	n := aloneNode(t, WithValidator(anything{}))
	c := ContentCID(t, "content")
	p := n.providerRecord(c.Hash())
	p.Expires = p.Expires.AddDate(1000, 0, 0)
	sealed, err := p.Seal(n.signer.key)
	if err != nil {
		t.Fatal(err)
	}
	address, err := sealRecord(n.signer.key, n.host.ID(), []ma.Multiaddr{ma.StringCast("/ip4/192.0.2.1/tcp/1")}, 1)
	if err != nil {
		t.Fatal(err)
	}
	call := &pb.StoreCall{Peers: [][]byte{address}, Records: []*pb.Record{
		{Type: pb.RecordType_RECORD_TYPE_PROVIDER, Data: sealed},
		{Type: pb.RecordType_RECORD_TYPE_VALUE, Name: []byte("/any/key"), Data: []byte("value"), ExpiresMs: 1 << 62},
	}}
	outcomes, err := n.keeper.storeAt(t.Context(), n.host.ID(), call)
	if err != nil {
		t.Fatal(err)
	}
	for i, o := range outcomes {
		if o != pb.RecordOutcome_RECORD_OUTCOME_OK {
			t.Errorf("record %d: got %v, want it stored", i, o)
		}
	}
	held := HeldEntries(n)
	if len(held) != 2 {
		t.Fatalf("%d records are held, want 2", len(held))
	}
	for _, e := range held {
		if got := time.UnixMilli(e.Expires); got.After(time.Now().Add(48 * time.Hour)) {
			t.Errorf("%v is held until %v, want 48 hours at most", e.ID, got)
		}
	}
}

// anything is a validator that takes everything, and prefers what came last.
type anything struct{}

func (anything) Validate(string, []byte) error            { return nil }
func (anything) Select(_ string, v [][]byte) (int, error) { return len(v) - 1, nil }

func TestDeliverRefusesCalls(t *testing.T) {
	n := aloneNode(t)
	mh := ContentCID(t, "content").Hash()
	key, elsewhere := ring.FromMultihash(mh), ring.FromKey([]byte("elsewhere"))
	find := func(kind pb.RecordType, name []byte) *pb.RecordCall {
		return findCall(&pb.FindCall{Type: kind, Name: name, Limit: 1})
	}
	const provider, value, peerRecord = pb.RecordType_RECORD_TYPE_PROVIDER, pb.RecordType_RECORD_TYPE_VALUE, pb.RecordType_RECORD_TYPE_PEER
	arc := func(edit func(*pb.Arc)) *pb.RecordCall {
		a := &pb.Arc{First: make([]byte, ring.Size), Last: bytes.Repeat([]byte{255}, ring.Size), Sum: make([]byte, ring.Size)}
		edit(a)
		return compareCall([]*pb.Arc{a})
	}
	for _, test := range []struct {
		name string
		key  ring.ID
		call *pb.RecordCall
	}{
		{"empty", key, &pb.RecordCall{}},
		{"find without a body", key, &pb.RecordCall{Body: &pb.RecordCall_Find{}}},
		{"compare too many arcs", n.ID(), compareCall(make([]*pb.Arc, records.MaxArcs+1))},
		{"no type", key, find(0, mh)},
		{"unknown type", key, find(99, mh)},
		{"no multihash", key, find(provider, nil)},
		{"long multihash", key, find(provider, make([]byte, records.MaxMultihash+1))},
		{"malformed multihash", key, find(provider, mh[:10])},
		{"no key", key, find(value, nil)},
		{"long key", key, find(value, bytes.Repeat([]byte{'k'}, records.MaxName+1))},
		{"no peer", key, find(peerRecord, nil)},
		{"looked for at another key", elsewhere, find(provider, mh)},
		{"looked for at this node's key", n.ID(), find(provider, mh)},
		{"value looked for at another key", elsewhere, find(value, []byte("/pk/key"))},
		{"arc without a start", n.ID(), arc(func(a *pb.Arc) { a.First = nil })},
		{"arc with a short end", n.ID(), arc(func(a *pb.Arc) { a.Last = a.Last[1:] })},
		{"arc with a long sum", n.ID(), arc(func(a *pb.Arc) { a.Sum = append(a.Sum, 0) })},
		{"arc with too many records", n.ID(), arc(func(a *pb.Arc) { a.Count = 1 << 63 })},
		{"an arc that is nothing", n.ID(), compareCall([]*pb.Arc{{}})},
		{"cut record ID", n.ID(), fetchCall(make([]byte, records.IDSize-1))},
		{"too many record IDs", n.ID(), fetchCall(make([]byte, (maxFetched+1)*records.IDSize))},
	} {
		t.Run(test.name, func(t *testing.T) {
			payload, err := proto.Marshal(test.call)
			if err != nil {
				t.Fatal(err)
			}
			m := &Message{App: recordsApp, Origin: n.host.ID(), Key: test.key, Payload: payload}
			if reply, err := n.keeper.Deliver(t.Context(), m); !errors.Is(err, ErrMalformed) {
				t.Errorf("got %q, %v, want an error that wraps ErrMalformed", reply, err)
			}
		})
	}
	t.Run("garbage", func(t *testing.T) {
		m := &Message{App: recordsApp, Origin: n.host.ID(), Key: key, Payload: []byte("garbage")}
		if reply, err := n.keeper.Deliver(t.Context(), m); !errors.Is(err, ErrMalformed) {
			t.Errorf("got %q, %v, want an error that wraps ErrMalformed", reply, err)
		}
	})
}

// What this node holds is compared with members alone: what strangers ask must
// not hold up repair.
func TestCompareIsForMembers(t *testing.T) {
	nodes := LoopbackRing(t, 2)
	call := compareCall([]*pb.Arc{{First: make([]byte, ring.Size), Last: make([]byte, ring.Size), Sum: make([]byte, ring.Size)}})
	for _, tt := range []struct {
		name string
		from *Node
		want bool
	}{
		{"the other member", nodes[1], true},
		{"a node of another ring", aloneNode(t), false},
	} {
		payload, err := proto.Marshal(call)
		if err != nil {
			t.Fatal(err)
		}
		m := &Message{App: recordsApp, Origin: tt.from.Host().ID(), Key: nodes[0].ID(), Payload: payload}
		if _, err := nodes[0].keeper.Deliver(t.Context(), m); (err == nil) != tt.want {
			t.Errorf("%s asks: got %v, want an answer: %t", tt.name, err, tt.want)
		}
	}
}

// Calls that ask for nothing, or for what is not there, are answered.
func TestDeliverAnswersEmptyCalls(t *testing.T) {
	n := aloneNode(t)
	for name, call := range map[string]*pb.RecordCall{
		"store nothing":     storeCall(&pb.StoreCall{}),
		"store no record":   storeCall(&pb.StoreCall{Records: []*pb.Record{{}}, Peers: [][]byte{nil}}),
		"compare nothing":   compareCall(nil),
		"fetch nothing":     fetchCall(nil),
		"fetch the unknown": fetchCall(make([]byte, 3*records.IDSize)),
		"locate nobody":     locateCall(0),
		"locate everybody":  locateCall(1 << 30),
	} {
		t.Run(name, func(t *testing.T) {
			payload, err := proto.Marshal(call)
			if err != nil {
				t.Fatal(err)
			}
			for _, key := range []ring.ID{n.ID(), {}} {
				b, err := n.keeper.Deliver(t.Context(), &Message{App: recordsApp, Origin: n.host.ID(), Key: key, Payload: payload})
				if err != nil {
					t.Fatal(err)
				}
				var reply pb.RecordReply
				if err := proto.Unmarshal(b, &reply); err != nil {
					t.Fatal(err)
				}
				if got := len(reply.GetStore().GetOutcomes()); got != len(call.GetStore().GetRecords()) {
					t.Errorf("%d outcomes of %d records", got, len(call.GetStore().GetRecords()))
				}
				if got := int(reply.GetFetch().GetDone()); got != len(call.GetFetch().GetIds())/records.IDSize {
					t.Errorf("%d IDs dealt with", got)
				}
				if got := len(reply.GetLocate().GetMembers()); got > 1 {
					t.Errorf("%d members of a ring of one", got)
				}
			}
		})
	}
}

// An answer about a content fits a message, and says how many providers there
// are in all.
func TestProvidersFitAnswer(t *testing.T) {
	const providers = 250
	mh := ContentCID(t, "content").Hash()
	for _, test := range []struct {
		name          string
		addrs         int // of each provider
		limit, offset uint32
		least, most   int
	}{
		{"none wanted", 1, 0, 0, 1, 1},
		{"few wanted", 1, 3, 0, 3, 3},
		{"all wanted", 1, 1 << 31, 0, providers, providers},
		{"the rest wanted", 1, 1 << 31, providers - 7, 7, 7},
		{"those beyond the last", 1, 10, 1 << 31, 0, 0},
		{"many addresses", 60, providers, 0, 100, providers - 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			n := aloneNode(t)
			Crowd(t, n, mh, providers, test.addrs)
			call := &pb.FindCall{Type: pb.RecordType_RECORD_TYPE_PROVIDER, Name: mh, Limit: test.limit, Offset: test.offset}
			reply, err := n.keeper.findHere(t.Context(), call)
			if err != nil {
				t.Fatal(err)
			}
			if got := len(reply.Records); got < test.least || got > test.most || got != len(reply.Peers) {
				t.Errorf("got %d providers with %d peer records, want %d to %d", got, len(reply.Peers), test.least, test.most)
			}
			if reply.Total != providers {
				t.Errorf("got %d providers in all, want %d", reply.Total, providers)
			}
			if size := proto.Size(&pb.RecordReply{Body: &pb.RecordReply_Find{Find: reply}}); size > maxPayload {
				t.Errorf("the answer has %d bytes, may have %d", size, maxPayload)
			}
		})
	}
}
