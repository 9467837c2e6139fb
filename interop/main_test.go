package interop_test

import (
	"context"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"go.uber.org/goleak"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/interop"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// anyValue is a validator of the namespace "interop" that takes every value.
type anyValue struct{}

func (anyValue) Validate(string, []byte) error        { return nil }
func (anyValue) Select(string, [][]byte) (int, error) { return 0, nil }

// within returns a context of the test that ends after d.
func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// poll waits for what the network does in its own time.
func poll(t *testing.T, ctx context.Context, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s: %v", what, ctx.Err())
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// atEnd closes something when the test has ended.
func atEnd(t *testing.T, shut func() error) {
	t.Cleanup(func() {
		if err := shut(); err != nil {
			t.Error(err)
		}
	})
}

func newHost(t *testing.T) host.Host {
	t.Helper()
	h, err := interop.Loopback()
	must(t, err)
	atEnd(t, h.Close)
	return h
}

// join makes a node on a host of its own, and lets it join through the others.
func join(t *testing.T, through []*pastry.Node, opts ...pastry.Option) *pastry.Node {
	t.Helper()
	n, err := pastry.New(newHost(t), append(opts, pastry.WithNamespacedValidator("interop", anyValue{}))...)
	must(t, err)
	atEnd(t, n.Close)
	var infos []peer.AddrInfo
	for _, m := range through {
		infos = append(infos, addrInfo(m.Host()))
	}
	must(t, n.Join(within(t, 20*time.Second), infos...))
	return n
}

// ring returns members of a new ring.
func ring(t *testing.T, count int, opts ...pastry.Option) []*pastry.Node {
	t.Helper()
	var nodes []*pastry.Node
	for range count {
		nodes = append(nodes, join(t, nodes, append(opts, pastry.WithMode(pastry.ModeServer))...))
	}
	return nodes
}

// clients returns nodes in client mode. None of them knows another.
func clients(t *testing.T, members []*pastry.Node, count int, opts ...pastry.Option) []*pastry.Node {
	t.Helper()
	var nodes []*pastry.Node
	for range count {
		nodes = append(nodes, join(t, members, append(opts, pastry.WithMode(pastry.ModeClient))...))
	}
	for _, a := range nodes {
		for _, b := range nodes {
			if a != b {
				areStrangers(t, a.Host(), b.Host())
			}
		}
	}
	return nodes
}

// areStrangers fails the test if one host is connected to the other or knows an
// address of it.
func areStrangers(t *testing.T, a, b host.Host) {
	t.Helper()
	if got := a.Network().Connectedness(b.ID()); got != network.NotConnected {
		t.Fatalf("two clients are %v before they find each other", got)
	}
	if got := a.Peerstore().Addrs(b.ID()); len(got) > 0 {
		t.Fatalf("a client knows addresses %v of another before it finds it", got)
	}
}

func addrInfo(h host.Host) peer.AddrInfo { return peer.AddrInfo{ID: h.ID(), Addrs: h.Addrs()} }
