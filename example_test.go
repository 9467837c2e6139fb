package pastry_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/ring"
)

// greeter answers every message, and marks those that pass.
type greeter struct{ name string }

func (g greeter) Deliver(_ context.Context, m *pastry.Message) ([]byte, error) {
	if len(m.Payload) == 0 {
		return nil, errors.New("nobody to greet")
	}
	return fmt.Appendf(nil, "hello %s, from %s", m.Payload, g.name), nil
}

func (greeter) Forward(context.Context, *pastry.Message, peer.ID) bool { return true }

// newHost returns a libp2p host on loopback.
func newHost() host.Host {
	h, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"))
	if err != nil {
		panic(err)
	}
	return h
}

// newRing returns nodes on hosts of their own that have joined one ring and know
// each other, and what closes them all.
func newRing(count int, opts ...pastry.Option) (nodes []*pastry.Node, closeAll func()) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	changes := make([]event.Subscription, count)
	for i := range count {
		n, err := pastry.New(newHost(), opts...)
		if err != nil {
			panic(err)
		}
		if changes[i], err = n.Host().EventBus().Subscribe(new(pastry.EvtLeafSetChanged)); err != nil {
			panic(err)
		}
		defer changes[i].Close()
		if i == 0 {
			err = n.Join(ctx) // begins a ring
		} else {
			err = n.Join(ctx, peer.AddrInfo{ID: nodes[0].Host().ID(), Addrs: nodes[0].Host().Addrs()})
		}
		if err != nil {
			panic(err)
		}
		nodes = append(nodes, n)
	}
	// A member is sure of its own neighbours when Join returns; that all others
	// have taken it in is a matter of milliseconds more.
	for i, n := range nodes {
		for len(n.Neighbors()) < count-1 {
			select {
			case <-changes[i].Out():
			case <-ctx.Done():
				panic(ctx.Err())
			}
		}
	}
	return nodes, func() {
		for _, n := range nodes {
			_ = n.Close()
			_ = n.Host().Close()
		}
	}
}

// Two nodes make a ring, and one sends a message to the root of a key.
func Example() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	a, b := newHost(), newHost()
	defer a.Close()
	defer b.Close()

	first, err := pastry.New(a)
	if err != nil {
		panic(err)
	}
	defer first.Close()
	if err := first.Join(ctx); err != nil { // nobody to join through: begins a ring
		panic(err)
	}
	second, err := pastry.New(b)
	if err != nil {
		panic(err)
	}
	defer second.Close()
	if err := second.Join(ctx, peer.AddrInfo{ID: a.ID(), Addrs: a.Addrs()}); err != nil {
		panic(err)
	}

	_ = first.Register("greeter", greeter{"first"})
	_ = second.Register("greeter", greeter{"second"})
	receipt, err := first.Route(ctx, "greeter", second.ID(), []byte("Ada"))
	fmt.Printf("%s (%d hop) %v\n", receipt.Reply, receipt.Hops, err)
	// Output: hello Ada, from second (1 hop) <nil>
}

// New reports every option that is wrong at once.
func ExampleNew() {
	h := newHost()
	defer h.Close()
	_, err := pastry.New(h, pastry.WithLeafSetSize(15), pastry.WithDigitBits(9))
	fmt.Println(err)

	n, err := pastry.New(h, pastry.WithLeafSetSize(16), pastry.WithRegion("eu-west"))
	if err != nil {
		panic(err)
	}
	defer n.Close()
	fmt.Println(n.State())
	// Output:
	// pastry: WithLeafSetSize: 15, must be even and 2 to 128
	// pastry: WithDigitBits: 9, must be 1 to 8
	// idle
}

// Join returns when the node is active: its leaf set is complete, and it is root
// of its part of the keys.
func ExampleNode_Join() {
	nodes, closeAll := newRing(3)
	defer closeAll()
	h := newHost()
	defer h.Close()
	n, err := pastry.New(h)
	if err != nil {
		panic(err)
	}
	defer n.Close()

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	any := nodes[2].Host()
	if err := n.Join(ctx, peer.AddrInfo{ID: any.ID(), Addrs: any.Addrs()}); err != nil {
		panic(err)
	}
	fmt.Println(n.State(), n.Ready())
	// Output: active true
}

// Several applications share a node. Each sees the messages sent under its name.
func ExampleNode_Register() {
	nodes, closeAll := newRing(2)
	defer closeAll()
	n := nodes[0]
	fmt.Println(n.Register("greeter", greeter{"first"}))
	fmt.Println(n.Register("greeter", greeter{"again"}))

	_, err := nodes[1].Route(context.Background(), "weather", n.ID(), nil)
	fmt.Println(errors.Is(err, pastry.ErrNoApp))
	// Output:
	// <nil>
	// pastry: invalid application name: "greeter" is registered already
	// true
}

// The receipt of a message says who delivered it. What the application returned
// as an error comes back as an AppError.
func ExampleNode_Route() {
	nodes, closeAll := newRing(4)
	defer closeAll()
	for i, n := range nodes {
		_ = n.Register("greeter", greeter{fmt.Sprint("node ", i)})
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	key := nodes[3].ID() // of which that node is the root
	receipt, err := nodes[0].Route(ctx, "greeter", key, []byte("Ada"))
	fmt.Println(string(receipt.Reply), err, receipt.Root == nodes[3].Host().ID())

	_, err = nodes[0].Route(ctx, "greeter", key, nil)
	var failed *pastry.AppError
	fmt.Println(errors.As(err, &failed), failed.Text)
	// Output:
	// hello Ada, from node 3 <nil> true
	// true nobody to greet
}

// Send addresses a member by its peer ID.
func ExampleNode_Send() {
	nodes, closeAll := newRing(3)
	defer closeAll()
	_ = nodes[2].Register("greeter", greeter{"the one"})
	receipt, err := nodes[0].Send(context.Background(), "greeter", nodes[2].Host().ID(), []byte("Ada"))
	fmt.Println(string(receipt.Reply), err)
	// Output: hello Ada, from the one <nil>
}

// NextHop is the neighbour to which a message would go; none at the root.
func ExampleNode_NextHop() {
	nodes, closeAll := newRing(3)
	defer closeAll()
	next, ok := nodes[0].NextHop(nodes[1].ID())
	fmt.Println(next == nodes[1].Host().ID(), ok)
	_, ok = nodes[0].NextHop(nodes[0].ID())
	fmt.Println(ok)
	// Output:
	// true true
	// false
}

// ReplicaSet names the members closest to a key: its root, and those that would
// be root after it.
func ExampleNode_ReplicaSet() {
	nodes, closeAll := newRing(3)
	defer closeAll()
	key := ring.FromKey([]byte("some key"))
	slices.SortFunc(nodes, func(a, b *pastry.Node) int { return ring.CompareDistance(key, a.ID(), b.ID()) })

	replicas, ok := nodes[2].ReplicaSet(key, 2)
	fmt.Println(len(replicas), ok)
	for i, p := range replicas {
		fmt.Println(p == nodes[i].Host().ID())
	}
	// Output:
	// 2 true
	// true
	// true
}

// Members that share a passphrase keep strangers out.
func ExampleWithCredentials() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	secret := pastry.WithCredentials(pastry.Passphrase("correct horse battery staple"))
	a, b, c := newHost(), newHost(), newHost()
	defer a.Close()
	defer b.Close()
	defer c.Close()

	first, err := pastry.New(a, secret)
	if err != nil {
		panic(err)
	}
	defer first.Close()
	if err := first.Join(ctx); err != nil {
		panic(err)
	}
	member, err := pastry.New(b, secret)
	if err != nil {
		panic(err)
	}
	defer member.Close()
	fmt.Println("member:", member.Join(ctx, peer.AddrInfo{ID: a.ID(), Addrs: a.Addrs()}))

	stranger, err := pastry.New(c)
	if err != nil {
		panic(err)
	}
	defer stranger.Close()
	short, stop := context.WithTimeout(ctx, 500*time.Millisecond)
	defer stop()
	err = stranger.Join(short, peer.AddrInfo{ID: a.ID(), Addrs: a.Addrs()})
	fmt.Println("stranger joined:", err == nil)
	// Output:
	// member: <nil>
	// stranger joined: false
}

// A node tells of the ring on the event bus of its host.
func Example_events() {
	nodes, closeAll := newRing(3)
	defer closeAll()
	sub, err := nodes[0].Host().EventBus().Subscribe(new(pastry.EvtNodeGone))
	if err != nil {
		panic(err)
	}
	defer sub.Close()

	_ = nodes[2].Close()
	gone := (<-sub.Out()).(pastry.EvtNodeGone)
	fmt.Println(gone.Peer == nodes[2].Host().ID(), "left:", gone.Left)
	// Output: true left: true
}

// RouteNearest sends a message to whichever of several members that keep copies is
// nearest.
func ExampleNode_RouteNearest() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	nodes, closeAll := newRing(4)
	defer closeAll()
	for i, n := range nodes {
		_ = n.Register("greeter", greeter{fmt.Sprint("node ", i)})
	}
	key := ring.FromKey([]byte("some key"))
	replicas, _ := nodes[0].ReplicaSet(key, 3)

	receipt, err := nodes[0].RouteNearest(ctx, "greeter", key, 3, []byte("Ada"))
	fmt.Println(slices.Contains(replicas, receipt.Root), receipt.Hops <= 1, err)
	// Output: true true <nil>
}
