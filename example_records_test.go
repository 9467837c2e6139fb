package pastry_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/routing"
	"github.com/multiformats/go-multihash"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/ring"
)

// versioned is a validator of values whose first byte is a version.
type versioned struct{}

func (versioned) Validate(_ string, value []byte) error {
	if len(value) == 0 {
		return errors.New("no version")
	}
	return nil
}

func (versioned) Select(_ string, values [][]byte) (int, error) {
	best := 0
	for i, v := range values {
		if bytes.Compare(v, values[best]) > 0 {
			best = i
		}
	}
	return best, nil
}

// A namespace of an application's own takes a validator, which all members must
// have.
func ExampleNode_PutValue() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	nodes, closeAll := newRing(4, pastry.WithNamespacedValidator("app", versioned{}))
	defer closeAll()

	fmt.Println(nodes[1].PutValue(ctx, "/app/motd", []byte("1 good morning")))
	fmt.Println(nodes[2].PutValue(ctx, "/app/motd", []byte("2 good evening")))
	value, err := nodes[3].GetValue(ctx, "/app/motd")
	fmt.Printf("%q %v\n", value, err)

	err = nodes[0].PutValue(ctx, "/app/motd", []byte("1 good morning"))
	fmt.Println(errors.Is(err, pastry.ErrRecordStale))
	_, err = nodes[0].GetValue(ctx, "/app/none")
	fmt.Println(err == routing.ErrNotFound)
	_, err = nodes[0].GetValue(ctx, "/elsewhere/motd")
	fmt.Println(err == routing.ErrNotSupported)
	// Output:
	// <nil>
	// <nil>
	// "2 good evening" <nil>
	// true
	// true
	// true
}

// SearchValue gives what is at hand at once, and what is better when it comes.
// With a quorum, the last word is that of as many replicas.
func ExampleNode_SearchValue() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	nodes, closeAll := newRing(4, pastry.WithNamespacedValidator("app", versioned{}))
	defer closeAll()
	if err := nodes[0].PutValue(ctx, "/app/motd", []byte("1 good morning")); err != nil {
		panic(err)
	}
	values, err := nodes[1].SearchValue(ctx, "/app/motd", pastry.Quorum(3))
	if err != nil {
		panic(err)
	}
	for v := range values {
		fmt.Printf("%s\n", v)
	}
	// Output: 1 good morning
}

// Many contents are announced along the ring, a batch for each root.
func ExampleNode_ProvideMany() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	nodes, closeAll := newRing(4)
	defer closeAll()
	var contents []multihash.Multihash
	for i := range 500 {
		mh, err := multihash.Sum(fmt.Appendf(nil, "block %d", i), multihash.SHA2_256, -1)
		if err != nil {
			panic(err)
		}
		contents = append(contents, mh)
	}
	fmt.Println(nodes[0].ProvideMany(ctx, contents))
	stats := nodes[0].ProvideStats()
	fmt.Println(stats.Announced, "records in fewer than 30 messages:", stats.Calls < 30)
	// Output:
	// <nil>
	// 500 records in fewer than 30 messages: true
}

// What StartProviding is given is announced now, and again before the
// announcement expires, also after a restart if the node has a datastore.
func ExampleNode_StartProviding() {
	nodes, closeAll := newRing(4)
	defer closeAll()
	mh, err := multihash.Sum([]byte("kept for good"), multihash.SHA2_256, -1)
	if err != nil {
		panic(err)
	}
	if err := nodes[0].StartProviding(false, mh); err != nil {
		panic(err)
	}
	fmt.Println(nodes[0].ProvideStats().Keys, "content")
	if err := nodes[0].StopProviding(mh); err != nil {
		panic(err)
	}
	fmt.Println(nodes[0].ProvideStats().Keys, "contents")
	// Output:
	// 1 content
	// 0 contents
}

// A client is part of nobody's tables; the members tell where it is.
func ExampleNode_FindPeer() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	nodes, closeAll := newRing(3)
	defer closeAll()
	client, err := pastry.New(newHost(), pastry.WithMode(pastry.ModeClient), pastry.WithBootstrapPeers(addrInfo(nodes[0].Host())))
	if err != nil {
		panic(err)
	}
	defer client.Host().Close()
	defer client.Close()
	if err := client.Join(ctx); err != nil {
		panic(err)
	}
	info, err := nodes[2].FindPeer(ctx, client.Host().ID())
	fmt.Println(info.ID == client.Host().ID(), len(info.Addrs) > 0, err)
	key, err := nodes[2].GetPublicKey(ctx, client.Host().ID())
	fmt.Println(info.ID.MatchesPublicKey(key), err)
	// Output:
	// true true <nil>
	// true <nil>
}

// GetClosestPeers names the members that keep the records of a key.
func ExampleNode_GetClosestPeers() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	nodes, closeAll := newRing(4, pastry.WithReplication(3))
	defer closeAll()
	holders, err := nodes[0].GetClosestPeers(ctx, "/app/motd")
	same, ok := nodes[1].ReplicaSet(ring.FromKey([]byte("/app/motd")), 3)
	fmt.Println(len(holders), slices.Equal(holders, same), ok, err)
	// Output: 3 true true <nil>
}

// On a local network one option makes members of hosts that nobody outside can
// reach; limits and the bandwidth of repair can be set to what the machines have.
func ExampleWithLAN() {
	h := newHost()
	defer h.Close()
	node, err := pastry.New(h, pastry.WithLAN(), pastry.WithRepairBandwidth(16<<20),
		pastry.WithRecordLimits(pastry.RecordLimits{Bytes: 8 << 30, PerPeer: -1}))
	if err != nil {
		panic(err)
	}
	defer node.Close()
	fmt.Println(node.Join(context.Background()), node.Ready())
	// Output: <nil> true
}
