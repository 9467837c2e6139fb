package pastry

import (
	"errors"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/secondbit/pastry/pb"
	"github.com/secondbit/pastry/ring"
)

// FuzzDeliver gives the keeper of a ring of one calls from anybody, routed to a
// key or sent straight. It must answer each or return an error, never more than
// a message holds, and hold nothing that is not signed or valid.
func FuzzDeliver(f *testing.F) {
	n := aloneNode(f)
	mh := ContentCID(f, "content").Hash()
	p := n.providerRecord(mh)
	sealed, err := p.Seal(n.signer.key)
	if err != nil {
		f.Fatal(err)
	}
	key := ring.FromMultihash(mh).Bytes()
	record := &pb.Record{Type: pb.RecordType_RECORD_TYPE_PROVIDER, Data: sealed}
	arc := &pb.Arc{First: make([]byte, ring.Size), Last: make([]byte, ring.Size), Sum: make([]byte, ring.Size), Count: 3}
	for _, call := range []*pb.RecordCall{
		storeCall(&pb.StoreCall{Records: []*pb.Record{record, {}}, Peers: [][]byte{n.self.Load().Record}}),
		storeCall(&pb.StoreCall{Records: []*pb.Record{{Type: pb.RecordType_RECORD_TYPE_PEER, Data: n.self.Load().Record}}}),
		storeCall(&pb.StoreCall{Records: []*pb.Record{{Type: pb.RecordType_RECORD_TYPE_VALUE, Name: []byte("/pk/x"), Data: []byte("x"), ExpiresMs: 1 << 60}}}),
		findCall(&pb.FindCall{Type: pb.RecordType_RECORD_TYPE_PROVIDER, Name: mh, Limit: 3, Offset: 1, Quorum: 2}),
		findCall(&pb.FindCall{Type: pb.RecordType_RECORD_TYPE_VALUE, Name: []byte("/pk/x")}),
		findCall(&pb.FindCall{Type: pb.RecordType_RECORD_TYPE_PEER, Name: []byte(n.host.ID())}),
		compareCall([]*pb.Arc{arc}),
		fetchCall(make([]byte, 64)),
		locateCall(5),
	} {
		b, err := proto.Marshal(call)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(key[:], b)
		f.Add([]byte(nil), b)
	}
	f.Fuzz(func(t *testing.T, to, payload []byte) {
		m := &Message{App: recordsApp, Origin: n.host.ID(), Key: n.ID(), Direct: true, Payload: payload}
		if key, err := ring.FromBytes(to); err == nil {
			m.Key, m.Direct = key, false
		}
		reply, err := n.keeper.Deliver(t.Context(), m)
		if err != nil {
			return
		}
		var got pb.RecordReply
		if err := unmarshalPayload(reply, &got); err != nil && !errors.Is(err, ErrMalformed) {
			t.Errorf("the reply cannot be read: %v", err)
		}
		if got.Body == nil || len(reply) > maxPayload {
			t.Errorf("a reply of %d bytes: %v", len(reply), &got)
		}
		for _, e := range HeldEntries(n) {
			if e.ID.Key != ring.FromMultihash(mh) && e.ID.Key != n.ID() {
				t.Errorf("%v is held, which nobody could have made", e.ID)
			}
		}
	})
}
