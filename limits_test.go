package pastry_test

import (
	"context"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/ring"
)

// TestServiceLimits has two hosts talk whose resource managers give a node what
// SetDefaultServiceLimits asks for and everybody else hardly anything.
func TestServiceLimits(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var members []peer.AddrInfo
	for range 2 {
		limits := rcmgr.DefaultLimits
		limits.ServiceBaseLimit = rcmgr.BaseLimit{}
		limits.ServicePeerBaseLimit = rcmgr.BaseLimit{}
		libp2p.SetDefaultServiceLimits(&limits)
		pastry.SetDefaultServiceLimits(&limits, "")
		manager, err := rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(limits.AutoScale()))
		if err != nil {
			t.Fatal(err)
		}
		h, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"), libp2p.ResourceManager(manager))
		if err != nil {
			t.Fatal(err)
		}
		defer h.Close()
		node, err := start(ctx, h, members...)
		if err != nil {
			t.Fatal(err)
		}
		defer node.Close()
		members = append(members, *host.InfoFromHost(h))
		for i := range byte(8) {
			if _, err := node.Route(ctx, "welcome", ring.FromKey([]byte{i}), nil); err != nil {
				t.Errorf("key %d: %v", i, err)
			}
		}
	}
}
