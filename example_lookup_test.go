package pastry_test

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/ring"
)

// LocalLookup names the hops that a node would try one after the other.
func ExampleNode_LocalLookup() {
	nodes, closeAll := newRing(4)
	defer closeAll()
	key := nodes[3].ID()
	hops := nodes[0].LocalLookup(key, 3)
	next, _ := nodes[0].NextHop(key)
	fmt.Println(hops[0] == next, next == nodes[3].Host().ID())
	fmt.Println(len(nodes[3].LocalLookup(key, 3)), "at the root")
	// Output:
	// true true
	// 0 at the root
}

// Neighbors is the leaf set. Events tell when it changes.
func ExampleNode_Neighbors() {
	nodes, closeAll := newRing(3)
	defer closeAll()
	neighbors := nodes[2].Neighbors()
	fmt.Println(len(neighbors))
	for _, n := range nodes[:2] {
		fmt.Println(slices.Contains(neighbors, n.Host().ID()))
	}
	// Output:
	// 2
	// true
	// true
}

// Range is the part of the ring whose keys a member is root of, or, with a rank,
// one of the closest nodes to.
func ExampleNode_Range() {
	nodes, closeAll := newRing(3)
	defer closeAll()
	n := nodes[2]
	key := n.ID()

	first, last, ok := n.Range(n.Host().ID(), 0)
	inside := ring.Clockwise(first, key).Compare(ring.Clockwise(first, last)) <= 0
	fmt.Println(inside, ok)

	// Of three nodes each is among the three closest to every key.
	first, last, ok = n.Range(nodes[0].Host().ID(), 2)
	fmt.Println(last.Add(ring.FromUint64s(0, 1)) == first, ok)
	// Output:
	// true true
	// true true
}

// Info is for people and monitoring; it marshals to JSON.
func ExampleNode_Info() {
	nodes, closeAll := newRing(3)
	defer closeAll()
	info, err := nodes[0].Info(context.Background())
	fmt.Println(info.State, err)
	fmt.Printf("%.0f nodes, %d smaller, %d larger\n", info.RingSize, len(info.Smaller), len(info.Larger))
	// Output:
	// active <nil>
	// 3 nodes, 2 smaller, 2 larger
}

// Before the end of the channel, count providers came, or all that are known.
func ExampleNode_FindProvidersAsync() {
	nodes, closeAll := newRing(4)
	defer closeAll()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	mh, err := multihash.Sum([]byte("popular content"), multihash.SHA2_256, -1)
	if err != nil {
		panic(err)
	}
	c := cid.NewCidV1(cid.Raw, mh)
	for _, n := range nodes[:3] {
		if err := n.Provide(ctx, c, true); err != nil {
			panic(err)
		}
	}
	count := func(n *pastry.Node, limit int) (found int) {
		for range n.FindProvidersAsync(ctx, c, limit) {
			found++
		}
		return found
	}
	fmt.Println(count(nodes[3], 2), "of", count(nodes[3], 0))
	// Output: 2 of 3
}
