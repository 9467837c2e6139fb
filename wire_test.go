package pastry

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/protobuf/proto"

	"github.com/secondbit/pastry/pb"
	"github.com/secondbit/pastry/ring"
)

// sameWire compares packets as the wire does: an empty slice is a nil one.
var sameWire = cmp.Options{
	cmpopts.EquateEmpty(),
	cmp.Comparer(func(a, b ring.ID) bool { return a == b }),
}

// wireContact returns a contact of the n-th test peer with a sealed record.
func wireContact(t testing.TB, n int) *Contact {
	t.Helper()
	c := NewContact(bookPeer(t, n))
	c.Epoch = uint64(n) + 1
	c.Record = bookRecord(t, n, 1, "/ip4/192.0.2.1/tcp/4001", "/ip4/192.0.2.1/udp/4001/quic-v1")
	c.Region = "eu"
	c.Coord = []float32{0.25, -1, 0.5}
	return c
}

func wireContacts(t testing.TB, n int) []*Contact {
	t.Helper()
	var cs []*Contact
	for i := range n {
		cs = append(cs, wireContact(t, i))
	}
	return cs
}

func wireRoute(t testing.TB, payload int) *Packet {
	t.Helper()
	origin := bookPeer(t, 1)
	return &Packet{
		Kind: KindRoute, State: StateActive, Seq: 71, Attempt: 2, Hops: 3, TTL: 1500 * time.Millisecond,
		Path: []PeerID{bookPeer(t, 2), bookPeer(t, 3), bookPeer(t, 4)},
		Msg: &Routed{
			ID: MessageID{1, 2, 3}, App: "chat", Key: ring.FromUint64s(5, 6),
			Origin: origin, OriginID: ring.FromPeer(origin),
			Payload: make([]byte, payload), Auth: make([]byte, 70),
		},
	}
}

func wireReply(t testing.TB) *Packet {
	t.Helper()
	origin, root := bookPeer(t, 1), bookPeer(t, 2)
	return &Packet{
		Kind: KindReply, State: StateActive, Seq: 8, Attempt: 1, Hops: 1,
		Answer: &Answer{
			ID: MessageID{15: 9}, Origin: origin, OriginID: ring.FromPeer(origin), Root: root,
			Code: CodeAppError, Hops: 2, Path: []PeerID{bookPeer(t, 3), root},
			Payload: []byte("no"), Auth: []byte("signed"), Contacts: wireContacts(t, 2),
		},
	}
}

func wireProbeReply(t testing.TB, contacts int) *Packet {
	t.Helper()
	return &Packet{
		Kind: KindProbeReply, State: StateActive, Seq: 3, Coord: []float32{1, 2}, Want: WantLeaves | WantRow,
		Row: maxRow, Version: math.MaxUint64, Period: time.Minute, Contacts: wireContacts(t, contacts),
	}
}

func TestPacketRoundTrip(t *testing.T) {
	join := wireRoute(t, 0)
	join.Msg.App, join.Msg.Join, join.Msg.Direct, join.Contacts = "", true, true, wireContacts(t, 3)
	delivered := []Delivery{{ID: MessageID{4}, By: bookPeer(t, 5)}, {ID: MessageID{5}, By: bookPeer(t, 6)}}
	anyOf := wireRoute(t, 8)
	anyOf.Msg.Replicas, anyOf.Msg.Coord, anyOf.Chosen = maxReplicas, []float32{1, -2}, true
	holders := []ring.ID{{}, ring.FromUint64s(3, 4), ring.FromUint64s(math.MaxUint64, 1)}
	for _, p := range []*Packet{
		wireRoute(t, 256),
		join,
		anyOf,
		wireReply(t),
		{Kind: KindAck, Seq: 1, Code: CodeNotActive},
		{Kind: KindProbe, State: StateClient, Seq: 5, Want: WantHood, Version: 7},
		{Kind: KindProbe, State: StateActive, Seq: 5, Want: WantLeaves | WantHolders, Holding: true, Digest: math.MaxUint64},
		wireProbeReply(t, 24),
		{Kind: KindProbeReply, State: StateActive, Seq: 5, Want: WantHolders, Holding: true, Holders: holders},
		{Kind: KindHeartbeat, State: StateActive, Coord: []float32{-0.5}},
		{Kind: KindHeartbeat, State: StateActive, Holders: holders, Held: 1, Digest: 1 << 63},
		{Kind: KindGrant, State: StateJoining, Seq: 6, Larger: true},
		{Kind: KindGrantReply, Seq: 6, Code: CodeBusy, Larger: true, Contacts: wireContacts(t, 1), Delivered: delivered},
		{Kind: KindSuspect, Suspects: []ring.ID{ring.FromUint64s(1, 2), {}}},
		{Kind: KindSuspect, Suspects: []ring.ID{ring.FromUint64s(1, 2)}, Holders: holders, Hops: maxHops},
		{Kind: KindHold, State: StateActive},
		{Kind: KindLeave, State: StateLeaving, Seq: 7, Delivered: delivered},
	} {
		t.Run(p.Kind.String(), func(t *testing.T) {
			b, err := proto.Marshal(encodePacket(p))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(mustDecode(t, b), p, sameWire); diff != "" {
				t.Errorf("packet changed on its way (-got +want):\n%s", diff)
			}
		})
	}
}

func mustDecode(t testing.TB, b []byte) *Packet {
	t.Helper()
	var m pb.Packet
	if err := proto.Unmarshal(b, &m); err != nil {
		t.Fatal(err)
	}
	p, err := decodePacket(&m, newContactBook(64))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestDurationsOnTheWire(t *testing.T) {
	for _, tc := range []struct {
		name string
		in   time.Duration
		want uint32
	}{
		{"none", 0, 0},
		{"over", -time.Hour, 0},
		{"rounded up", 1, 1},
		{"exact", 3 * time.Millisecond, 3},
		{"just above", 3*time.Millisecond + 1, 4},
		{"too long to send", math.MaxInt64, math.MaxUint32},
		{"too short to send", math.MinInt64, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := milliseconds(tc.in); got != tc.want {
				t.Errorf("milliseconds(%d) = %d, want %d", tc.in, got, tc.want)
			}
		})
	}
}

// TestWireNumbers pins the numbers of the enumerations to those of the
// protocol, whose names are those of the Go constants.
func TestWireNumbers(t *testing.T) {
	if got, want := len(pb.Kind_name), int(numKinds); got != want {
		t.Errorf("%d kinds on the wire, want %d", got, want)
	}
	if got, want := len(pb.Code_name), int(numCodes); got != want {
		t.Errorf("%d codes on the wire, want %d", got, want)
	}
	if got, want := len(pb.State_name), int(StateClient)+1; got != want {
		t.Errorf("%d states on the wire, want %d", got, want)
	}
	for got, want := range map[pb.Kind]Kind{
		pb.Kind_KIND_ROUTE: KindRoute, pb.Kind_KIND_REPLY: KindReply, pb.Kind_KIND_ACK: KindAck,
		pb.Kind_KIND_PROBE: KindProbe, pb.Kind_KIND_PROBE_REPLY: KindProbeReply,
		pb.Kind_KIND_HEARTBEAT: KindHeartbeat, pb.Kind_KIND_GRANT: KindGrant,
		pb.Kind_KIND_GRANT_REPLY: KindGrantReply, pb.Kind_KIND_SUSPECT: KindSuspect, pb.Kind_KIND_LEAVE: KindLeave,
		pb.Kind_KIND_HOLD: KindHold,
	} {
		if Kind(got) != want {
			t.Errorf("%v is %d, want %d", got, got, want)
		}
	}
	for got, want := range map[pb.Code]Code{
		pb.Code_CODE_OK: CodeOK, pb.Code_CODE_APP_ERROR: CodeAppError, pb.Code_CODE_NO_APP: CodeNoApp,
		pb.Code_CODE_STOPPED: CodeStopped, pb.Code_CODE_HOP_LIMIT: CodeHopLimit,
		pb.Code_CODE_UNREACHABLE: CodeUnreachable, pb.Code_CODE_FORGED: CodeForged, pb.Code_CODE_BUSY: CodeBusy,
		pb.Code_CODE_NOT_ACTIVE: CodeNotActive, pb.Code_CODE_NOT_NEIGHBOR: CodeNotNeighbor,
		pb.Code_CODE_DUPLICATE: CodeDuplicate, pb.Code_CODE_TIMEOUT: CodeTimeout, pb.Code_CODE_CANCELLED: CodeCancelled,
	} {
		if Code(got) != want {
			t.Errorf("%v is %d, want %d", got, got, want)
		}
	}
}

func TestMalformedPackets(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(-1))
	for _, tc := range []struct {
		name string
		base *Packet
		harm func(m *pb.Packet)
	}{
		{"no kind", wireRoute(t, 0), func(m *pb.Packet) { m.Kind = 0 }},
		{"unknown kind", &Packet{Kind: KindAck}, func(m *pb.Packet) { m.Kind = pb.Kind(numKinds) }},
		{"kind beyond a byte", &Packet{Kind: KindAck}, func(m *pb.Packet) { m.Kind += 256 }},
		{"negative kind", &Packet{Kind: KindAck}, func(m *pb.Packet) { m.Kind = -1 }},
		{"unknown state", &Packet{Kind: KindAck}, func(m *pb.Packet) { m.State = 5 }},
		{"unknown code", &Packet{Kind: KindAck}, func(m *pb.Packet) { m.Code = pb.Code(numCodes) }},
		{"route without message", wireRoute(t, 0), func(m *pb.Packet) { m.Msg = nil }},
		{"reply without answer", wireReply(t), func(m *pb.Packet) { m.Answer = nil }},
		{"message in a reply", wireReply(t), func(m *pb.Packet) { m.Msg = &pb.Routed{} }},
		{"answer in a probe", &Packet{Kind: KindProbe}, func(m *pb.Packet) { m.Answer = &pb.Answer{} }},
		{"empty message", wireRoute(t, 0), func(m *pb.Packet) { m.Msg = &pb.Routed{} }},
		{"empty answer", wireReply(t), func(m *pb.Packet) { m.Answer = &pb.Answer{} }},
		{"hops", wireRoute(t, 0), func(m *pb.Packet) { m.Hops = maxHops + 1 }},
		{"hops of an answer", wireReply(t), func(m *pb.Packet) { m.Answer.Hops = math.MaxUint32 }},
		{"code of an answer", wireReply(t), func(m *pb.Packet) { m.Answer.Code = -3 }},
		{"replicas", wireRoute(t, 0), func(m *pb.Packet) { m.Msg.Replicas = maxReplicas + 1 }},
		{"replicas of a join", wireRoute(t, 0), func(m *pb.Packet) { m.Msg.Replicas, m.Msg.Join = 2, true }},
		{"replicas of one member", wireRoute(t, 0), func(m *pb.Packet) { m.Msg.Replicas, m.Msg.Direct = 2, true }},
		{"coordinate of the origin", wireRoute(t, 0), func(m *pb.Packet) { m.Msg.Coord = []float32{nan} }},
		{"want", &Packet{Kind: KindProbe}, func(m *pb.Packet) { m.Want = 256 }},
		{"row", &Packet{Kind: KindProbe}, func(m *pb.Packet) { m.Row = maxRow + 1 }},
		{"long coordinate", &Packet{Kind: KindProbe}, func(m *pb.Packet) { m.Coord = make([]float32, maxCoord+1) }},
		{"coordinate that is no number", &Packet{Kind: KindProbe}, func(m *pb.Packet) { m.Coord = []float32{0, nan} }},
		{"infinite coordinate", &Packet{Kind: KindProbe}, func(m *pb.Packet) { m.Coord = []float32{inf} }},
		{"long path", wireRoute(t, 0), func(m *pb.Packet) { m.Path = many(m.Path[0], maxPath+1) }},
		{"empty peer on the path", wireRoute(t, 0), func(m *pb.Packet) { m.Path[1] = nil }},
		{"no peer on the path", wireReply(t), func(m *pb.Packet) { m.Answer.Path[0] = []byte("somebody") }},
		{"many contacts", wireProbeReply(t, 1), func(m *pb.Packet) { m.Contacts = many(m.Contacts[0], maxContacts+1) }},
		{"no contact", wireProbeReply(t, 2), func(m *pb.Packet) { m.Contacts[1] = nil }},
		{"forged contact", wireReply(t), func(m *pb.Packet) { m.Answer.Contacts[1].Record[90] ^= 1 }},
		{"many suspects", &Packet{Kind: KindSuspect}, func(m *pb.Packet) { m.Suspects = many(make([]byte, 16), maxSuspects+1) }},
		{"short suspect", &Packet{Kind: KindSuspect}, func(m *pb.Packet) { m.Suspects = [][]byte{make([]byte, 15)} }},
		{"many holders", &Packet{Kind: KindHeartbeat}, func(m *pb.Packet) { m.Holders = many(make([]byte, 16), maxHolders+1) }},
		{"short holder", &Packet{Kind: KindSuspect}, func(m *pb.Packet) { m.Holders = [][]byte{make([]byte, 15)} }},
		{"long holder", &Packet{Kind: KindProbeReply}, func(m *pb.Packet) { m.Holders = [][]byte{make([]byte, 17)} }},
		{"many deliveries", &Packet{Kind: KindLeave}, func(m *pb.Packet) { m.Delivered = many(&pb.Delivery{}, maxDelivered+1) }},
		{"empty delivery", &Packet{Kind: KindLeave}, func(m *pb.Packet) { m.Delivered = []*pb.Delivery{{}} }},
		{"no delivery", &Packet{Kind: KindLeave}, func(m *pb.Packet) { m.Delivered = []*pb.Delivery{nil} }},
		{"contacts in a heartbeat", &Packet{Kind: KindHeartbeat}, func(m *pb.Packet) { m.Contacts = []*pb.Contact{encodeContact(NewContact(bookPeer(t, 1)))} }},
		{"suspects in a probe", &Packet{Kind: KindProbe}, func(m *pb.Packet) { m.Suspects = [][]byte{make([]byte, 16)} }},
		{"deliveries in a probe", &Packet{Kind: KindProbe}, func(m *pb.Packet) { m.Delivered = encodeDelivered([]Delivery{{By: bookPeer(t, 1)}}) }},
		{"holders in a probe", &Packet{Kind: KindProbe}, func(m *pb.Packet) { m.Holders = [][]byte{make([]byte, 16)} }},
		{"holders in a hold", &Packet{Kind: KindHold}, func(m *pb.Packet) { m.Holders = [][]byte{make([]byte, 16)} }},
		{"holders in a leave", &Packet{Kind: KindLeave}, func(m *pb.Packet) { m.Holders = [][]byte{make([]byte, 16)} }},
		{"holders in a route", wireRoute(t, 0), func(m *pb.Packet) { m.Holders = [][]byte{make([]byte, 16)} }},
		{"contacts in a hold", &Packet{Kind: KindHold}, func(m *pb.Packet) { m.Contacts = []*pb.Contact{encodeContact(NewContact(bookPeer(t, 1)))} }},
		{"path in a leave", &Packet{Kind: KindLeave}, func(m *pb.Packet) { m.Path = [][]byte{[]byte(bookPeer(t, 1))} }},
		{"short message ID", wireRoute(t, 0), func(m *pb.Packet) { m.Msg.Id = m.Msg.Id[1:] }},
		{"long message ID", wireReply(t), func(m *pb.Packet) { m.Answer.Id = append(m.Answer.Id, 0) }},
		{"long key", wireRoute(t, 0), func(m *pb.Packet) { m.Msg.Key = make([]byte, 32) }},
		{"no origin", wireRoute(t, 0), func(m *pb.Packet) { m.Msg.Origin = nil }},
		{"no root", wireReply(t), func(m *pb.Packet) { m.Answer.Root = nil }},
		{"long peer ID", wireRoute(t, 0), func(m *pb.Packet) { m.Msg.Origin = append([]byte{0, 63}, make([]byte, 63)...) }},
		{"long application name", wireRoute(t, 0), func(m *pb.Packet) { m.Msg.App = strings.Repeat("a", maxAppName+1) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := proto.CloneOf(encodePacket(tc.base))
			tc.harm(m)
			p, err := decodePacket(m, newContactBook(8))
			if !errors.Is(err, ErrMalformed) || p != nil {
				t.Errorf("decodePacket = %v, %v, want nil and ErrMalformed", p, err)
			}
		})
	}
	if _, err := decodePacket(nil, newContactBook(8)); !errors.Is(err, ErrMalformed) {
		t.Errorf("without a packet: %v, want ErrMalformed", err)
	}
}

func many[T any](v T, n int) []T {
	out := make([]T, n)
	for i := range out {
		out[i] = v
	}
	return out
}

// TestLimitsAreInclusive has packets that are as large as they may be.
func TestLimitsAreInclusive(t *testing.T) {
	route := wireRoute(t, 0)
	route.Hops, route.Path, route.Msg.App = maxHops, many(bookPeer(t, 1), maxPath), strings.Repeat("a", maxAppName)
	contact := NewContact(bookPeer(t, 1))
	contact.Region, contact.Coord = strings.Repeat("r", maxRegion), make([]float32, maxCoord)
	for _, p := range []*Packet{
		route,
		{Kind: KindProbeReply, Contacts: many(contact, maxContacts)},
		{Kind: KindSuspect, Suspects: make([]ring.ID, maxSuspects), Holders: make([]ring.ID, maxHolders)},
		{Kind: KindHeartbeat, Holders: make([]ring.ID, maxHolders)},
		{Kind: KindLeave, Delivered: many(Delivery{By: bookPeer(t, 1)}, maxDelivered)},
	} {
		t.Run(p.Kind.String(), func(t *testing.T) {
			got, err := decodePacket(encodePacket(p), newContactBook(8))
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, p) { // cmp takes seconds for so many
				t.Error("packet changed on its way")
			}
		})
	}
}

// randomPacket draws a valid packet. Contacts have no records, which are slow
// to sign.
func randomPacket(t testing.TB, rng *rand.Rand) *Packet {
	somebody := func() PeerID { return bookPeer(t, rng.IntN(8)) }
	path := func() (ps []PeerID) {
		for range rng.IntN(4) {
			ps = append(ps, somebody())
		}
		return ps
	}
	blob := func() []byte { return []byte(fmt.Sprint(rng.Uint32()))[:rng.IntN(2)] }
	p := &Packet{
		Kind: 1 + Kind(rng.IntN(int(numKinds)-1)), State: State(rng.IntN(5)), Seq: rng.Uint64(),
		Code: Code(rng.IntN(int(numCodes))), Attempt: rng.Uint32(), Hops: rng.IntN(256), Path: path(),
		TTL: time.Duration(rng.Uint32()) * time.Millisecond, Want: Want(rng.IntN(256)), Row: rng.IntN(128),
		Version: rng.Uint64(), Period: time.Duration(rng.Uint32()) * time.Millisecond, Larger: rng.IntN(2) == 0,
		Holding: rng.IntN(2) == 0, Held: rng.Uint64(), Digest: rng.Uint64(),
	}
	for range rng.IntN(4) {
		p.Coord = append(p.Coord, float32(rng.NormFloat64()))
		p.Suspects = append(p.Suspects, ring.Random(rng))
		p.Holders = append(p.Holders, ring.Random(rng))
		p.Delivered = append(p.Delivered, Delivery{ID: MessageID(ring.Random(rng).Bytes()), By: somebody()})
		c := NewContact(somebody())
		c.Epoch, c.Client, c.Coord = rng.Uint64(), rng.IntN(2) == 0, p.Coord
		p.Contacts = append(p.Contacts, c)
	}
	origin := somebody()
	id := MessageID(ring.Random(rng).Bytes())
	switch p.Kind {
	case KindRoute:
		p.Msg = &Routed{ID: id, Key: ring.Random(rng), Origin: origin, OriginID: ring.FromPeer(origin),
			Join: rng.IntN(2) == 0, Direct: rng.IntN(2) == 0, Payload: blob(), Auth: blob(), Coord: p.Coord}
		if p.Chosen = rng.IntN(2) == 0; p.Chosen && !p.Msg.Join && !p.Msg.Direct {
			p.Msg.Replicas = rng.IntN(maxReplicas + 1)
		}
	case KindReply:
		p.Answer = &Answer{ID: id, Origin: origin, OriginID: ring.FromPeer(origin), Root: somebody(),
			Code: CodeOK, Hops: rng.IntN(256), Path: path(), Payload: blob(), Auth: blob(), Contacts: p.Contacts}
	}
	// A list in a packet of a kind that has no use for it is malformed.
	if p.Kind != KindRoute {
		p.Path = nil
	}
	if p.Kind != KindSuspect {
		p.Suspects = nil
	}
	if p.Kind != KindHeartbeat && p.Kind != KindProbeReply && p.Kind != KindSuspect {
		p.Holders = nil
	}
	if p.Kind != KindGrantReply && p.Kind != KindLeave {
		p.Delivered = nil
	}
	if p.Kind != KindRoute && p.Kind != KindProbeReply && p.Kind != KindGrantReply && p.Kind != KindLeave {
		p.Contacts = nil
	}
	return p
}

func TestRandomPacketsRoundTrip(t *testing.T) {
	for seed := range uint64(500) {
		p := randomPacket(t, rand.New(rand.NewPCG(seed, 1)))
		b, err := proto.Marshal(encodePacket(p))
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if diff := cmp.Diff(mustDecode(t, b), p, sameWire); diff != "" {
			t.Fatalf("seed %d: packet changed on its way (-got +want):\n%s", seed, diff)
		}
	}
}

func FuzzDecodePacket(f *testing.F) {
	for _, p := range []*Packet{wireRoute(f, 9), wireReply(f), wireProbeReply(f, 2)} {
		b, err := proto.Marshal(encodePacket(p))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	for seed := range uint64(20) {
		b, err := proto.Marshal(encodePacket(randomPacket(f, rand.New(rand.NewPCG(seed, 2)))))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var m pb.Packet
		if proto.Unmarshal(b, &m) != nil {
			return
		}
		p, err := decodePacket(&m, newContactBook(8))
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatalf("error is %v, want ErrMalformed", err)
			}
			return
		}
		first, err := proto.Marshal(encodePacket(p))
		if err != nil {
			t.Fatal(err)
		}
		again := mustDecode(t, first)
		if diff := cmp.Diff(again, p, sameWire); diff != "" {
			t.Fatalf("packet changed on its way (-got +want):\n%s", diff)
		}
		second, err := proto.Marshal(encodePacket(again))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(second, first); diff != "" {
			t.Fatalf("encoding is not stable (-got +want):\n%s", diff)
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	for name, p := range map[string]*Packet{
		"Route/payload=256":      wireRoute(b, 256),
		"ProbeReply/contacts=24": wireProbeReply(b, 24),
	} {
		b.Run(name, func(b *testing.B) {
			w := newFrameWriter(discard{}, 0)
			b.ReportAllocs()
			for b.Loop() {
				if err := w.write(&pb.Frame{Body: &pb.Frame_Packet{Packet: encodePacket(p)}}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	for name, p := range map[string]*Packet{
		"Route/payload=256":      wireRoute(b, 256),
		"ProbeReply/contacts=24": wireProbeReply(b, 24),
	} {
		b.Run(name, func(b *testing.B) {
			r := newFrameReader(&endless{frame: frameBytes(b, encodePacket(p))}, 0)
			book := newContactBook(64)
			var f pb.Frame
			b.ReportAllocs()
			for b.Loop() {
				if err := r.read(&f); err != nil {
					b.Fatal(err)
				}
				if _, err := decodePacket(f.GetPacket(), book); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
