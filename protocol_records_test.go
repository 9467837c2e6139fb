package pastry

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/record"
	ma "github.com/multiformats/go-multiaddr"
	"github.com/multiformats/go-multihash"
	"google.golang.org/protobuf/proto"

	"github.com/secondbit/pastry/internal/ipns"
	"github.com/secondbit/pastry/internal/records"
	"github.com/secondbit/pastry/pb"
	"github.com/secondbit/pastry/ring"
)

// specification returns a section of docs/protocol.md, the ones below it
// included, without white space and backquotes.
func specification(t *testing.T, heading string) string {
	t.Helper()
	b, err := os.ReadFile("docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, ok := strings.Cut(string(b), "\n"+heading)
	if !ok {
		t.Fatalf("docs/protocol.md has no section %q", heading)
	}
	level, _, _ := strings.Cut(heading, " ")
	section, _, _ := strings.Cut(after, "\n"+level+" ")
	return squeeze(section)
}

func squeeze(s string) string {
	return strings.NewReplacer(" ", "", "\n", "", "`", "").Replace(s)
}

// vectorRecords are the records of the test vectors.
type vectorRecords struct {
	key                   crypto.PrivKey
	provider, value, peer *records.Record
}

func newVectorRecords(t *testing.T) vectorRecords {
	t.Helper()
	key, _, err := crypto.GenerateEd25519Key(bytes.NewReader(bytes.Repeat([]byte{1}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	id, err := peer.IDFromPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	mh, err := multihash.Sum([]byte("hello"), multihash.SHA2_256, -1)
	if err != nil {
		t.Fatal(err)
	}
	expires := time.UnixMilli(1_700_000_000_000)
	p := records.Provider{Multihash: mh, Peer: id, Seq: 1, Expires: expires}
	sealed, err := p.Seal(key)
	if err != nil {
		t.Fatal(err)
	}
	at, err := record.Seal(&peer.PeerRecord{PeerID: id, Seq: 1, Addrs: []ma.Multiaddr{ma.StringCast("/ip4/192.0.2.1/tcp/4001")}}, key)
	if err != nil {
		t.Fatal(err)
	}
	sealedAt, err := at.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	value := []byte("world")
	return vectorRecords{
		key:      key,
		provider: &records.Record{Type: records.TypeProvider, Name: mh, Peer: id, Version: 1, Expires: expires, Data: sealed},
		value: &records.Record{Type: records.TypeValue, Name: []byte("/test/hello"), Version: records.ValueVersion(value, expires),
			Expires: expires, Data: value},
		peer: &records.Record{Type: records.TypePeer, Name: []byte(id), Peer: id, Version: 1, Expires: expires, Data: sealedAt},
	}
}

func itemOf(r *records.Record) records.Item { return records.Item{ID: r.ID(), Version: r.Version} }

// indexOf returns an index that holds some records.
func indexOf(rs ...*records.Record) *records.Index {
	x := &records.Index{}
	for _, r := range rs {
		x.Put(records.Entry{ID: r.ID(), Version: r.Version, Expires: r.Expires.UnixMilli()})
	}
	return x
}

// compared returns what is sent when the holder of one index compares an arc with
// the holder of another.
func compared(t *testing.T, asks, answers *records.Index, a records.Arc) (*pb.RecordCall, *pb.RecordReply) {
	t.Helper()
	arcs := records.NewSession(a).Next(asks)
	verdicts, err := records.Compare(answers, arcs, replyRoom)
	if err != nil {
		t.Fatal(err)
	}
	return compareCall(arcs), &pb.RecordReply{Body: &pb.RecordReply_Compare{Compare: &pb.CompareReply{Verdicts: verdicts}}}
}

func docHex(t *testing.T, m proto.Message) string {
	t.Helper()
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(b)
}

func hexOfID(id records.ID) string {
	b, _ := id.AppendBinary(nil)
	return hex.EncodeToString(b)
}

// The vectors of section 20.7 are what the code does.
func TestProtocolRecordVectors(t *testing.T) {
	v := newVectorRecords(t)
	both := indexOf(v.provider, v.value)
	call, reply := compared(t, indexOf(v.provider), both, records.WholeRing)
	_, same := compared(t, both, both, records.WholeRing)
	first, err := v.provider.ID().AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	last := ring.FromKey(v.provider.Name).Sub(ring.FromUint64s(0, 1)).Bytes()
	store := &pb.StoreCall{Records: []*pb.Record{v.provider.Encode()}, Peers: [][]byte{v.peer.Data}}
	stored := &pb.StoreReply{Outcomes: []pb.RecordOutcome{pb.RecordOutcome_RECORD_OUTCOME_OK}, Last: last[:]}
	find := &pb.FindCall{Type: pb.RecordType_RECORD_TYPE_VALUE, Name: v.value.Name}
	found := &pb.FindReply{Records: []*pb.Record{v.value.Encode()}, Total: 1, Heard: 1, Complete: true}
	sum := both.Summary(records.WholeRing)

	section := specification(t, "### 20.7 ")
	for _, c := range []struct{ name, want string }{
		{"ID of A's provider record of 20.6", hexOfID(v.provider.ID())},
		{"ID of the value", hexOfID(v.value.ID())},
		{"ID of A's peer record", hexOfID(v.peer.ID())},
		{"version of the value", fmt.Sprintf("%016x", v.value.Version)},
		{"fingerprint of the provider record, version 1", itemOf(v.provider).Fingerprint().String()},
		{"fingerprint of the value", itemOf(v.value).Fingerprint().String()},
		{"sum of both, count 2", sum.Sum.String()},
		{"CompareCall", docHex(t, call)},
		{"CompareReply", docHex(t, reply)},
		{"CompareReply between equals", docHex(t, same)},
		{"FetchCall", docHex(t, fetchCall(first))},
		{"FindCall", docHex(t, findCall(find))},
		{"FindReply", docHex(t, &pb.RecordReply{Body: &pb.RecordReply_Find{Find: found}})},
		{"LocateCall", docHex(t, locateCall(8))},
		{"StoreReply", docHex(t, &pb.RecordReply{Body: &pb.RecordReply_Store{Store: stored}})},
		{"StoreCall", docHex(t, storeCall(store))},
	} {
		if sum.Count != 2 {
			t.Fatalf("%d records in the sum", sum.Count)
		}
		row, block := squeeze("| "+c.name+" | "+c.want+" |"), squeeze(c.name+":```"+c.want+"```")
		if !strings.Contains(section, row) && !strings.Contains(section, block) {
			t.Errorf("docs/protocol.md, section 20.7, does not have\n%s: %s", c.name, c.want)
		}
	}
}

// The sealed records of sections 20.2 and 20.6, which those of 20.7 hold, are
// what the code makes and accepts.
func TestProtocolSealedVectors(t *testing.T) {
	v := newVectorRecords(t)
	for _, c := range []struct {
		section string
		want    []byte
	}{
		{"### 20.2 ", v.peer.Data},
		{"### 20.6 ", v.provider.Data},
	} {
		if !strings.Contains(specification(t, c.section), hex.EncodeToString(c.want)) {
			t.Errorf("docs/protocol.md, section%q, does not have\n%x", c.section, c.want)
		}
	}
	o := records.Opener{}
	for _, r := range []*records.Record{v.provider, v.peer} {
		got, err := o.Open(time.Unix(1, 0), r.Encode())
		if err != nil {
			t.Fatal(err)
		}
		if got.ID() != r.ID() || got.Version != 1 {
			t.Errorf("%s record: ID %s, version %d; want %s, 1", r.Type, hexOfID(got.ID()), got.Version, hexOfID(r.ID()))
		}
	}
}

// docSize writes a number of bytes as the document does.
func docSize(n int) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprint(n>>30, "GiB")
	case n >= 1<<20:
		return fmt.Sprint(n>>20, "MiB")
	}
	return fmt.Sprint(n>>10, "KiB")
}

// docNumber writes a number as the document does.
func docNumber(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", docNumber(n/1000), n%1000)
}

// docTime writes a time as the document does.
func docTime(d time.Duration) string {
	switch {
	case d >= time.Hour:
		return fmt.Sprint(int(d/time.Hour), "h")
	case d >= time.Minute:
		return fmt.Sprint(int(d/time.Minute), "min")
	case d >= time.Second:
		return fmt.Sprint(int(d/time.Second), "s")
	}
	return fmt.Sprint(int(d/time.Millisecond), "ms")
}

// The defaults that section 19 names are those of the code.
func TestProtocolRecordConstants(t *testing.T) {
	o, err := newOptions(nil)
	if err != nil {
		t.Fatal(err)
	}
	if providerValidity != records.MaxProvider || valueValidity != records.MaxValue {
		t.Errorf("records are made for %v and %v, and held for %v and %v", providerValidity, valueValidity, records.MaxProvider, records.MaxValue)
	}
	section, l := specification(t, "## 19 "), o.limits
	for _, want := range []string{
		"r, replicas | " + fmt.Sprint(o.replication),
		"validity of a provider record, of a value, of a peer record | " + docTime(records.MaxProvider) + ", " + docTime(records.MaxValue) + ", " + docTime(records.MaxPeer),
		"clock ahead in a sequence number | " + docTime(records.MaxSkew),
		"longest multihash; provider record; peer record; key of a value | " + fmt.Sprintf("%d; %s; %s; %d bytes",
			records.MaxMultihash, docNumber(records.MaxSealed), docNumber(records.MaxPeerRecord), records.MaxName),
		"longest IPNS record | " + docNumber(ipns.MaxSize) + " bytes",
		"records in bytes of one call or reply; of a call to a replica | " + docNumber(replyRoom) + "; " + docNumber(chunkSize),
		"providers in a reply; members in a reply; IDs in a FetchCall | " + fmt.Sprintf("%s; %d; %s", docNumber(maxProviders), maxLocated, docNumber(maxFetched)),
		"arcs in a CompareCall | " + fmt.Sprint(records.MaxArcs),
		"time for a root to answer; for a member | " + docTime(askTimeout) + "; " + docTime(memberTimeout),
		"tries at a root | " + fmt.Sprint(askTries),
		"least wait for the nearest replica | " + docTime(leastHedge),
		"pages of providers asked of one member by a root | " + fmt.Sprint(maxPages),
		"pause before a member is asked to store again | " + docTime(writePause) + ", doubling",
		"tasks of repair at once | " + fmt.Sprint(upkeepTasks),
		"time for each record more | " + docTime(recordTime),
		"time for which a member out of sight is known | " + docTime(goneFor),
		"bandwidth of repair, at least | " + docSize(o.repairRate) + " a second, " + docSize(minRepairRate) + " a second",
		"handing over when leaving | " + docTime(handoverLimit),
		"search for what has expired | " + docTime(expireEvery),
		"records held; bytes; of one peer; providers of one multihash | " + fmt.Sprintf("%s; %s; %s; %s", docNumber(l.Records), docSize(int(l.Bytes)), docNumber(l.PerPeer), docNumber(l.PerKey)),
		"longest data of a record; addresses of a peer | " + docSize(l.Record) + "; " + fmt.Sprint(l.Addrs),
		"most that the longest data of a record can be set to | " + docSize(maxRecordData),
		"renewal of a client's peer record | " + docTime(publishEvery),
		"renewal of provider records | " + docTime(provideCycle) + " in " + fmt.Sprint(provideSlices) + " parts",
		"batch of provider records, at first, at least | " + fmt.Sprintf("%s, %d records, %s", docSize(provideBatch), provideFirst, docSize(provideLeast)),
	} {
		if !strings.Contains(section, squeeze("| "+want)) {
			t.Errorf("docs/protocol.md, section 19, does not say %q", want)
		}
	}
}
