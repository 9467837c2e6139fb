package bench

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p"
	dht "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multihash"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/secondbit/pastry"
)

// newHost returns a host on a loopback socket.
func newHost(tb testing.TB) host.Host {
	tb.Helper()
	h, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"), libp2p.DisableMetrics(), libp2p.DisableRelay(),
		libp2p.ResourceManager(&network.NullResourceManager{}))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { h.Close() })
	return h
}

// ring is members of one Pastry ring, and what they count.
type ring struct {
	nodes      []*pastry.Node
	registries []*prometheus.Registry
}

func newRing(tb testing.TB, count int) *ring {
	tb.Helper()
	r := &ring{}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	for range count {
		reg := prometheus.NewRegistry()
		n, err := pastry.New(newHost(tb), pastry.WithMode(pastry.ModeServer), pastry.WithMetrics(reg))
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() { n.Close() })
		var through []peer.AddrInfo
		if len(r.nodes) > 0 {
			through = append(through, addrInfo(r.nodes[0].Host()))
		}
		if err := n.Join(ctx, through...); err != nil {
			tb.Fatal(err)
		}
		r.nodes, r.registries = append(r.nodes, n), append(r.registries, reg)
	}
	return r
}

func addrInfo(h host.Host) peer.AddrInfo { return peer.AddrInfo{ID: h.ID(), Addrs: h.Addrs()} }

// sum adds up a metric of all members, where its labels are as given.
func (r *ring) sum(tb testing.TB, name string, labels map[string]string) float64 {
	tb.Helper()
	total := 0.0
	for _, reg := range r.registries {
		families, err := reg.Gather()
		if err != nil {
			tb.Fatal(err)
		}
		for _, f := range families {
			if f.GetName() != "libp2p_pastry_"+name {
				continue
			}
			for _, m := range f.GetMetric() {
				match := true
				for _, l := range m.GetLabel() {
					if want, ok := labels[l.GetName()]; ok && want != l.GetValue() {
						match = false
					}
				}
				if match {
					total += m.GetCounter().GetValue() + m.GetGauge().GetValue()
				}
			}
		}
	}
	return total
}

// newDHTs returns servers of one kad-dht network, which know each other as they
// do after some time.
func newDHTs(tb testing.TB, count int) []*dht.IpfsDHT {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	var ds []*dht.IpfsDHT
	for range count {
		h := newHost(tb)
		d, err := dht.New(h, dht.Mode(dht.ModeServer), dht.ProtocolPrefix("/bench"), dht.AddressFilter(nil),
			dht.RoutingTableFilter(dht.PrivateRoutingTableFilter), dht.QueryFilter(dht.PrivateQueryFilter))
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() { d.Close() })
		for _, other := range ds[:min(len(ds), 8)] {
			if err := h.Connect(ctx, addrInfo(other.Host())); err != nil {
				tb.Fatal(err)
			}
		}
		ds = append(ds, d)
	}
	for range 2 {
		for _, d := range ds {
			if err := <-d.RefreshRoutingTable(); err != nil {
				tb.Log(err)
			}
		}
	}
	return ds
}

// contents returns multihashes of made-up contents.
func contents(tb testing.TB, prefix string, count int) []multihash.Multihash {
	tb.Helper()
	keys := make([]multihash.Multihash, count)
	for i := range keys {
		mh, err := multihash.Sum(fmt.Appendf(nil, "%s %d", prefix, i), multihash.SHA2_256, -1)
		if err != nil {
			tb.Fatal(err)
		}
		keys[i] = mh
	}
	return keys
}

func toCID(mh multihash.Multihash) cid.Cid { return cid.NewCidV1(cid.Raw, mh) }
