package ring_test

import (
	"encoding/json"
	"fmt"
	"log"
	"slices"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multihash"

	"github.com/secondbit/pastry/ring"
)

func Example() {
	key := ring.FromKey([]byte("greeting"))
	nodes := []ring.ID{
		ring.FromKey([]byte("alice")),
		ring.FromKey([]byte("bob")),
		ring.FromKey([]byte("carol")),
	}
	root := slices.MinFunc(nodes, func(a, b ring.ID) int {
		return ring.CompareDistance(key, a, b)
	})
	fmt.Println("key ", key)
	fmt.Println("root", root)
	fmt.Println("away", ring.Distance(key, root))
	// Output:
	// key  18f6b0200b6fd32ce4e85b6c841f7224
	// root 2bd806c97f0e00af1a1fc3328fa763a9
	// away 12e156a9739e2d82353767c60b87f185
}

func ExampleFromPeer() {
	p, err := peer.Decode("12D3KooWQK1wnefoLrcVHbbnf5tLzbopUd3K3bFAoJpA7YJgL5pV")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(ring.FromPeer(p))
	// Output: 06567cf09231b70576326a32e0f6c2fa
}

func ExampleFromMultihash() {
	mh, err := multihash.Sum([]byte("hello world"), multihash.SHA2_256, -1)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(ring.FromMultihash(mh))
	// Output: d323dcae8bb357d0f7c6b6235109503d
}

func ExampleFromKey() {
	x := ring.FromKey([]byte("abc"))
	fmt.Println(x)
	fmt.Println(x.Short())
	// Output:
	// ba7816bf8f01cfea414140de5dae2223
	// ba7816bf
}

func ExampleParse() {
	x, err := ring.Parse("BA7816BF8F01CFEA414140DE5DAE2223")
	fmt.Println(x, err)
	_, err = ring.Parse("ba7816bf")
	fmt.Println(err)
	// Output:
	// ba7816bf8f01cfea414140de5dae2223 <nil>
	// ring: malformed id: 8 characters, want 32 hexadecimal digits
}

func ExampleID_MarshalText() {
	loads := map[ring.ID]int{ring.FromKey([]byte("abc")): 7}
	data, err := json.Marshal(loads)
	fmt.Println(string(data), err)
	// Output: {"ba7816bf8f01cfea414140de5dae2223":7} <nil>
}

// The row and the column of a key in the routing table of a node.
func ExampleSharedPrefixLen() {
	const b = 4
	node, _ := ring.Parse("65a1fc00000000000000000000000000")
	key, _ := ring.Parse("65a7fc00000000000000000000000000")
	row := ring.SharedPrefixLen(node, key, b)
	column := key.Digit(row, b)
	fmt.Println("row", row, "column", column)
	// Output: row 3 column 7
}

// The ids that a node looks for to fill an entry of its table.
func ExampleID_WithDigit() {
	node, _ := ring.Parse("65a1fc00000000000000000000000000")
	fmt.Println(node.WithDigit(3, 4, 0xe))
	// Output: 65aefc00000000000000000000000000
}

func ExampleDistance() {
	top := ring.FromUint64s(1<<64-1, 1<<64-1)
	one := ring.FromUint64s(0, 1)
	fmt.Println(ring.Distance(top, one))
	fmt.Println(ring.Clockwise(top, one))
	fmt.Println(ring.Clockwise(one, top))
	// Output:
	// 00000000000000000000000000000002
	// 00000000000000000000000000000002
	// fffffffffffffffffffffffffffffffe
}

func ExampleBetween() {
	from, _ := ring.Parse("f0000000000000000000000000000000")
	to, _ := ring.Parse("10000000000000000000000000000000")
	fmt.Println(ring.Between(ring.ID{}, from, to))
	fmt.Println(ring.Between(ring.ID{}, to, from))
	fmt.Println(ring.Between(from, from, to), ring.Between(to, from, to))
	// Output:
	// true
	// false
	// false true
}

func ExampleCompareDistance() {
	key, _ := ring.Parse("50000000000000000000000000000000")
	below, _ := ring.Parse("4f000000000000000000000000000000")
	above, _ := ring.Parse("51000000000000000000000000000000")
	fmt.Println(ring.CompareDistance(key, below, above)) // as far: the smaller id wins
	fmt.Println(ring.Closer(key, above, below))
	// Output:
	// -1
	// false
}
