package ring_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multihash"

	"github.com/secondbit/pastry/ring"
)

// Results are stored here so that no call is optimised away.
var (
	sinkID  ring.ID
	sinkInt int
	sinkOK  bool
)

// calls are the functions that must not allocate, each on the ids from i on,
// which is taken modulo the number of ids.
func calls(ids *[1024]ring.ID) []struct {
	name string
	call func(i int)
} {
	at := func(i int) ring.ID { return ids[i%len(ids)] }
	p, err := peer.Decode("12D3KooWQK1wnefoLrcVHbbnf5tLzbopUd3K3bFAoJpA7YJgL5pV")
	if err != nil {
		panic(err)
	}
	mh, err := multihash.Sum([]byte("content"), multihash.SHA2_256, -1)
	if err != nil {
		panic(err)
	}
	key, binary := []byte("a key of an application"), make([]byte, ring.Size)
	text := at(0).String()
	textBytes := []byte(text)
	buf := make([]byte, 0, 64)
	r := rand.New(rand.NewPCG(1, 2))
	return []struct {
		name string
		call func(i int)
	}{
		{"FromPeer", func(int) { sinkID = ring.FromPeer(p) }},
		{"FromMultihash", func(int) { sinkID = ring.FromMultihash(mh) }},
		{"FromKey", func(int) { sinkID = ring.FromKey(key) }},
		{"FromBytes", func(int) { sinkID, _ = ring.FromBytes(binary) }},
		{"Parse", func(int) { sinkID, _ = ring.Parse(text) }},
		{"Random", func(int) { sinkID = ring.Random(r) }},
		{"Bytes", func(i int) { b := at(i).Bytes(); sinkInt = int(b[0]) }},
		{"AppendBinary", func(i int) { buf, _ = at(i).AppendBinary(buf[:0]) }},
		{"AppendText", func(i int) { buf, _ = at(i).AppendText(buf[:0]) }},
		{"UnmarshalText", func(int) { _ = sinkID.UnmarshalText(textBytes) }},
		{"UnmarshalBinary", func(int) { _ = sinkID.UnmarshalBinary(binary) }},
		{"Add", func(i int) { sinkID = at(i).Add(at(i + 1)) }},
		{"Sub", func(i int) { sinkID = at(i).Sub(at(i + 1)) }},
		{"Half", func(i int) { sinkID = at(i).Half() }},
		{"Compare", func(i int) { sinkInt = at(i).Compare(at(i + 1)) }},
		{"Less", func(i int) { sinkOK = at(i).Less(at(i + 1)) }},
		{"Clockwise", func(i int) { sinkID = ring.Clockwise(at(i), at(i+1)) }},
		{"Distance", func(i int) { sinkID = ring.Distance(at(i), at(i+1)) }},
		{"Between", func(i int) { sinkOK = ring.Between(at(i), at(i+1), at(i+2)) }},
		{"CompareDistance", func(i int) { sinkInt = ring.CompareDistance(at(i), at(i+1), at(i+2)) }},
		{"Closer", func(i int) { sinkOK = ring.Closer(at(i), at(i+1), at(i+2)) }},
		{"Digit", func(i int) { sinkInt = at(i).Digit(i%32, 4) }},
		{"WithDigit", func(i int) { sinkID = at(i).WithDigit(i%32, 4, i%16) }},
		{"SharedPrefixLen", func(i int) { sinkInt = ring.SharedPrefixLen(at(i), at(i+1), 4) }},
	}
}

func benchIDs() *[1024]ring.ID {
	r := rand.New(rand.NewPCG(1, 2))
	var ids [1024]ring.ID
	for i := range ids {
		ids[i] = ring.Random(r)
	}
	return &ids
}

func TestNoAllocation(t *testing.T) {
	for _, c := range calls(benchIDs()) {
		t.Run(c.name, func(t *testing.T) {
			i := 0
			if got := testing.AllocsPerRun(100, func() { c.call(i); i++ }); got != 0 {
				t.Errorf("%v allocations a call, want 0", got)
			}
		})
	}
}

// Each function through a func value, which costs about 2 ns a call.
func BenchmarkCalls(b *testing.B) {
	for _, c := range calls(benchIDs()) {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				c.call(i)
			}
		})
	}
}

// The choice of the closest among n ids, which a leaf set makes for each message.
func BenchmarkClosest(b *testing.B) {
	ids := benchIDs()
	for _, n := range []int{24, 1000} {
		b.Run(fmt.Sprintf("N=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				key, best := ids[i%len(ids)], ids[0]
				for _, x := range ids[1:n] {
					if ring.Closer(key, x, best) {
						best = x
					}
				}
				sinkID = best
			}
		})
	}
}

func BenchmarkString(b *testing.B) {
	ids := benchIDs()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		sinkInt = len(ids[i%len(ids)].String())
	}
}
