package pastry_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	ds "github.com/ipfs/go-datastore"
	dssync "github.com/ipfs/go-datastore/sync"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/testutil"
)

// joined returns a node on h that has joined through members, or begun a ring.
func joined(ctx context.Context, h host.Host, opts []pastry.Option, members ...host.Host) (*pastry.Node, error) {
	n, err := pastry.New(h, opts...)
	if err != nil {
		return nil, err
	}
	var through []peer.AddrInfo
	for _, m := range members {
		through = append(through, *host.InfoFromHost(m))
	}
	if err := n.Join(ctx, through...); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

// Peers on a list form a cluster. A peer that is not on it is no neighbour of
// theirs, whatever it knows.
func ExampleAllowPeers() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	a, b, c := newHost(), newHost(), newHost()
	defer a.Close()
	defer b.Close()
	defer c.Close()
	opts := []pastry.Option{pastry.WithCredentials(pastry.AllowPeers(a.ID(), b.ID()))}

	first, err := joined(ctx, a, opts)
	if err != nil {
		panic(err)
	}
	defer first.Close()
	second, err := joined(ctx, b, opts, a)
	if err != nil {
		panic(err)
	}
	defer second.Close()
	fmt.Println(second.State())

	// The stranger would admit everybody, and is refused.
	short, stop := context.WithTimeout(ctx, 500*time.Millisecond)
	defer stop()
	_, err = joined(short, c, nil, a)
	fmt.Println(errors.Is(err, context.DeadlineExceeded))
	// Output:
	// active
	// true
}

// A credential that could admit nobody, or everybody, is an error of New.
func ExamplePassphrase() {
	h := newHost()
	defer h.Close()
	_, err := pastry.New(h, pastry.WithCredentials(pastry.Passphrase("")))
	fmt.Println(errors.Is(err, pastry.ErrCredential))

	both := pastry.AllCredentials(pastry.AllowPeers(h.ID()), pastry.Passphrase("correct horse battery staple"))
	n, err := pastry.New(h, pastry.WithCredentials(both))
	if err != nil {
		panic(err)
	}
	defer n.Close()
	fmt.Println(n.State())
	// Output:
	// true
	// idle
}

// Nodes that share a registerer are told apart by labels.
func ExampleWithMetrics() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	h := newHost()
	defer h.Close()
	reg := prometheus.NewRegistry()
	labelled := prometheus.WrapRegistererWith(prometheus.Labels{"node": "a"}, reg)
	n, err := joined(ctx, h, []pastry.Option{pastry.WithMetrics(labelled)})
	if err != nil {
		panic(err)
	}
	defer n.Close()

	families, err := reg.Gather()
	if err != nil {
		panic(err)
	}
	for _, f := range families {
		if f.GetName() == "libp2p_pastry_active" {
			fmt.Println(f.GetName(), f.GetMetric()[0].GetGauge().GetValue())
		}
	}
	// Output: libp2p_pastry_active 1
}

// A client uses the ring without being part of it.
func ExampleWithMode() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	nodes, closeAll := newRing(2)
	defer closeAll()
	for _, n := range nodes {
		_ = n.Register("greeter", greeter{"a member"})
	}
	h := newHost()
	defer h.Close()
	client, err := joined(ctx, h, []pastry.Option{pastry.WithMode(pastry.ModeClient)}, nodes[0].Host())
	if err != nil {
		panic(err)
	}
	defer client.Close()

	// The key is the client's own id; it is still a member that delivers.
	receipt, err := client.Route(ctx, "greeter", client.ID(), []byte("Ada"))
	fmt.Println(client.State(), string(receipt.Reply), err)
	// Output: client hello Ada, from a member <nil>
}

// A node with a datastore remembers the members it knew, and after a restart
// begins to join through them.
func ExampleNode_Bootstrap() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	nodes, closeAll := newRing(2)
	defer closeAll()
	h, store := newHost(), dssync.MutexWrap(ds.NewMapDatastore())
	defer h.Close()
	opts := []pastry.Option{pastry.WithDatastore(store)}
	n, err := joined(ctx, h, opts, nodes[0].Host())
	if err != nil {
		panic(err)
	}
	if err := n.Close(); err != nil {
		panic(err)
	}

	n, err = pastry.New(h, opts...)
	if err != nil {
		panic(err)
	}
	defer n.Close()
	sub, err := h.EventBus().Subscribe(new(pastry.EvtStateChanged))
	if err != nil {
		panic(err)
	}
	defer sub.Close()
	fmt.Println(n.Bootstrap(ctx))
	for !n.Ready() {
		<-sub.Out()
	}
	fmt.Println(n.State(), len(n.Neighbors()))
	// Output:
	// <nil>
	// active 2
}

// censor delivers with what was done to a message, and changes what passes.
type censor struct{}

func (censor) Deliver(_ context.Context, m *pastry.Message) ([]byte, error) {
	return fmt.Appendf(nil, "%q, was %q, %d change", m.Payload, m.Original, len(m.Changes)), nil
}

func (censor) Forward(_ context.Context, m *pastry.Message, _ peer.ID) bool {
	m.Payload = bytes.ReplaceAll(m.Payload, []byte("darn"), []byte("****"))
	return true
}

// Forward sees a message on its way, here in a ring of nodes that know few of the
// others. The deliverer learns what the origin wrote and who changed it.
func ExampleApplication() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c, err := testutil.NewCluster(testutil.ClusterConfig{
		Nodes: 8, LeafSetSize: 2,
		Network: testutil.NetworkConfig{Seed: 1, Latency: func(a, b int) time.Duration { return time.Millisecond }},
		Options: func(int) []pastry.Option { return []pastry.Option{pastry.WithDigitBits(1)} },
	})
	if err != nil {
		panic(err)
	}
	defer c.Close()
	if err := c.Start(ctx); err != nil {
		panic(err)
	}
	for i := range c.Len() {
		if err := c.Node(i).Register("chat", censor{}); err != nil {
			panic(err)
		}
	}
	for _, key := range c.RandomKeys(1000) {
		receipt, err := c.Node(0).Route(ctx, "chat", key, []byte("darn it"))
		if err != nil {
			panic(err)
		}
		if receipt.Hops > 1 { // it has passed a node
			fmt.Println(string(receipt.Reply))
			return
		}
	}
	// Output: "**** it", was "darn it", 1 change
}
