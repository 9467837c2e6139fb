package interop

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p"
	dht "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/routing"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/testutil"
)

// Loopback returns a host on TCP and QUIC sockets of the loopback interface.
func Loopback(opts ...libp2p.Option) (host.Host, error) {
	return libp2p.New(append(opts,
		libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"),
		libp2p.DisableMetrics(),
	)...)
}

// Pastry returns this router, on loopback, with further options.
func Pastry(opts ...pastry.Option) testutil.Subject {
	return testutil.Subject{
		Name: "pastry",
		Host: Loopback,
		Router: func(h host.Host, cfg testutil.RouterConfig) (routing.Routing, error) {
			mode := pastry.ModeServer
			if cfg.Client {
				mode = pastry.ModeClient
			}
			return pastry.New(h, slices.Concat(opts, []pastry.Option{
				pastry.WithMode(mode),
				pastry.WithNamespacedValidator(cfg.Namespace, cfg.Validator),
			})...)
		},
		Join: func(ctx context.Context, m testutil.Member, others []testutil.Member) error {
			var through []peer.AddrInfo
			for _, o := range others {
				through = append(through, addrInfo(o.Host))
			}
			return m.Routing.(*pastry.Node).Join(ctx, through...)
		},
		Quorum: pastry.Quorum,
	}
}

func addrInfo(h host.Host) peer.AddrInfo { return peer.AddrInfo{ID: h.ID(), Addrs: h.Addrs()} }

// KadDHT returns kad-dht, on loopback, with its defaults and a protocol prefix of
// its own.
func KadDHT() testutil.Subject {
	return testutil.Subject{
		Name:   "kad-dht v0.42.2",
		Host:   Loopback,
		Router: newKadDHT,
		Join:   joinKadDHT,
		Quorum: dht.Quorum,
	}
}

func newKadDHT(h host.Host, cfg testutil.RouterConfig) (routing.Routing, error) {
	mode := dht.ModeServer
	if cfg.Client {
		mode = dht.ModeClient
	}
	return dht.New(h, dht.ProtocolPrefix("/interop"), dht.Mode(mode), dht.NamespacedValidator(cfg.Namespace, cfg.Validator))
}

// joinKadDHT connects m to all others. It waits until each has the others in its
// routing table that are servers.
func joinKadDHT(ctx context.Context, m testutil.Member, others []testutil.Member) error {
	for _, o := range others {
		if err := m.Host.Connect(ctx, addrInfo(o.Host)); err != nil {
			return err
		}
	}
	for _, o := range others {
		if err := awaitTable(ctx, m, o); err != nil {
			return err
		}
		if err := awaitTable(ctx, o, m); err != nil {
			return err
		}
	}
	return nil
}

// awaitTable waits until m has o in its routing table, if o is a server.
func awaitTable(ctx context.Context, m, o testutil.Member) error {
	table, other := m.Routing.(*dht.IpfsDHT).RoutingTable(), o.Routing.(*dht.IpfsDHT)
	if other.Mode() != dht.ModeServer {
		return nil
	}
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for table.Find(other.PeerID()) == "" {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%s is not in the routing table of %s: %w", other.PeerID(), m.Host.ID(), ctx.Err())
		}
	}
	return nil
}
