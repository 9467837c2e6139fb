package testutil_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/routing"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/testutil"
)

// onNetwork is this router as a subject, on a simulated network.
func onNetwork(nw *testutil.Network) testutil.Subject {
	return testutil.Subject{
		Name: "pastry",
		Host: nw.NewHost,
		Router: func(h host.Host, cfg testutil.RouterConfig) (routing.Routing, error) {
			mode := pastry.ModeServer
			if cfg.Client {
				mode = pastry.ModeClient
			}
			return pastry.New(h, pastry.WithMode(mode), pastry.WithNamespacedValidator(cfg.Namespace, cfg.Validator))
		},
		Join: func(ctx context.Context, m testutil.Member, others []testutil.Member) error {
			var through []peer.AddrInfo
			for _, o := range others {
				through = append(through, peer.AddrInfo{ID: o.Host.ID(), Addrs: o.Host.Addrs()})
			}
			return m.Routing.(*pastry.Node).Join(ctx, through...)
		},
		Quorum: pastry.Quorum,
	}
}

// This router keeps the contract on a wide area network too.
func TestConformanceOfPastry(t *testing.T) {
	for i, c := range testutil.Cases() {
		t.Run(strings.ReplaceAll(c.Name, "/", ":"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nw, err := testutil.NewNetwork(testutil.NetworkConfig{Seed: uint64(i)})
				if err != nil {
					t.Fatal(err)
				}
				defer nw.Close()
				c.Test(t, onNetwork(nw))
			})
		})
	}
}
