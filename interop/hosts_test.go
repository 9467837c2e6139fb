package interop_test

import (
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/routing"
	routedhost "github.com/libp2p/go-libp2p/p2p/host/routed"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/interop"
)

// connectByID connects a host that finds others by the router to one that it does
// not know, as soon as the ring knows that.
func connectByID(t *testing.T, from, to host.Host) {
	t.Helper()
	areStrangers(t, from, to)
	must(t, from.Connect(within(t, 10*time.Second), peer.AddrInfo{ID: to.ID()}))
	if got := from.Network().Connectedness(to.ID()); got != network.Connected {
		t.Errorf("the hosts are %v, want %v", got, network.Connected)
	}
}

// A routed host connects by peer ID alone.
func TestRoutedHost(t *testing.T) {
	peers := clients(t, ring(t, 4), 2)
	connectByID(t, routedhost.Wrap(peers[0].Host(), peers[0]), peers[1].Host())
}

// The router is made together with its host, by libp2p.Routing.
func TestRoutingOption(t *testing.T) {
	members := ring(t, 4)
	var node *pastry.Node
	h, err := interop.Loopback(libp2p.Routing(func(h host.Host) (routing.PeerRouting, error) {
		var err error
		node, err = pastry.New(h, pastry.WithMode(pastry.ModeClient), pastry.WithBootstrapPeers(addrInfo(members[0].Host())))
		return node, err
	}))
	must(t, err)
	atEnd(t, h.Close)
	atEnd(t, node.Close)
	must(t, node.Join(within(t, 20*time.Second)))
	connectByID(t, h, clients(t, members, 1)[0].Host())
}
