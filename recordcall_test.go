package pastry

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/secondbit/pastry/internal/records"
	"github.com/secondbit/pastry/pb"
)

// A call of many empty elements takes few bytes and much memory: it is refused
// before that is taken.
func TestPayloadsAreScreened(t *testing.T) {
	const count = 100_000
	empty := func(outer, inner protowire.Number) []byte {
		list := bytes.Repeat(protowire.AppendBytes(protowire.AppendTag(nil, inner, protowire.BytesType), nil), count)
		return protowire.AppendBytes(protowire.AppendTag(nil, outer, protowire.BytesType), list)
	}
	for _, tt := range []struct {
		name    string
		payload []byte
		into    proto.Message
	}{
		{"records to store", empty(1, 1), &pb.RecordCall{}},
		{"peers of records to store", empty(1, 2), &pb.RecordCall{}},
		{"arcs to compare", empty(3, 1), &pb.RecordCall{}},
		{"records found", empty(2, 1), &pb.RecordReply{}},
		{"verdicts", empty(3, 1), &pb.RecordReply{}},
		{"records fetched", empty(4, 1), &pb.RecordReply{}},
		{"members", empty(5, 1), &pb.RecordReply{}},
		{"cut short", empty(1, 1)[:count], &pb.RecordCall{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := unmarshalPayload(tt.payload, tt.into); !errors.Is(err, ErrMalformed) {
				t.Errorf("got %v, want an error that wraps ErrMalformed", err)
			}
		})
	}
}

// The largest calls that nodes make pass the screen.
func TestPayloadsPassScreen(t *testing.T) {
	record := &pb.Record{Type: pb.RecordType_RECORD_TYPE_PROVIDER, Data: make([]byte, 200)}
	for name, call := range map[string]*pb.RecordCall{
		"store":   storeCall(&pb.StoreCall{Records: slices.Repeat([]*pb.Record{record}, replyRoom/(200+overheadPacked))}),
		"compare": compareCall(slices.Repeat([]*pb.Arc{{First: make([]byte, 16), Last: make([]byte, 16), Sum: make([]byte, 16)}}, records.MaxArcs)),
		"fetch":   fetchCall(make([]byte, maxFetched*records.IDSize)),
	} {
		t.Run(name, func(t *testing.T) {
			b, err := proto.Marshal(call)
			if err != nil {
				t.Fatal(err)
			}
			if len(b) > maxPayload {
				t.Errorf("the call has %d bytes, a message may have %d", len(b), maxPayload)
			}
			var got pb.RecordCall
			if err := unmarshalPayload(b, &got); err != nil {
				t.Fatal(err)
			}
			if !proto.Equal(&got, call) {
				t.Error("the call has changed")
			}
		})
	}
	many := &pb.RecordReply{Body: &pb.RecordReply_Store{Store: &pb.StoreReply{Outcomes: make([]pb.RecordOutcome, 4096)}}}
	b, err := proto.Marshal(many)
	if err != nil {
		t.Fatal(err)
	}
	var got pb.RecordReply
	if err := unmarshalPayload(b, &got); err != nil {
		t.Errorf("a reply with many outcomes: %v", err)
	}
	if diff := cmp.Diff(&got, many, protocmp.Transform()); diff != "" {
		t.Errorf("the reply has changed (-got +want):\n%s", diff)
	}
}

// What a newer version of the protocol adds is passed over.
func TestPayloadWithUnknownFields(t *testing.T) {
	b, err := proto.Marshal(locateCall(3))
	if err != nil {
		t.Fatal(err)
	}
	b = protowire.AppendBytes(protowire.AppendTag(b, 1000, protowire.BytesType), []byte("news"))
	var call pb.RecordCall
	if err := unmarshalPayload(b, &call); err != nil || call.GetLocate().GetCount() != 3 {
		t.Errorf("got %v, %v, want the call", &call, err)
	}
	if len(call.ProtoReflect().GetUnknown()) > 0 {
		t.Error("unknown fields are kept")
	}
}

func TestDecodeIDs(t *testing.T) {
	ids := []records.ID{
		records.NewID(records.TypeValue, []byte("/pk/a"), ""),
		records.NewID(records.TypeProvider, []byte("content"), "peer"),
		{},
	}
	var b []byte
	for _, id := range ids {
		b, _ = id.AppendBinary(b)
	}
	got, err := decodeIDs(b)
	if err != nil || !slices.Equal(got, ids) {
		t.Errorf("got %v, %v, want %v", got, err, ids)
	}
	if got, err := decodeIDs(nil); err != nil || len(got) != 0 {
		t.Errorf("of nothing: got %v, %v", got, err)
	}
	if got, err := decodeIDs(make([]byte, maxFetched*records.IDSize)); err != nil || len(got) != maxFetched {
		t.Errorf("of as many as may be: got %d, %v, want %d", len(got), err, maxFetched)
	}
	for name, b := range map[string][]byte{
		"one byte too few":  b[1:],
		"one byte too many": append(b, 0),
		"one ID too many":   make([]byte, (maxFetched+1)*records.IDSize),
	} {
		if _, err := decodeIDs(b); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: got %v, want an error that wraps ErrMalformed", name, err)
		}
	}
}
