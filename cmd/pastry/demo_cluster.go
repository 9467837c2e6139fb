package main

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	libp2pquic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/internal/netfault"
	"github.com/secondbit/pastry/ring"
)

// member is a host of the demo with its node.
type member struct {
	host   host.Host
	node   *pastry.Node
	power  *netfault.Switch
	id     ring.ID
	live   bool          // joined, and not among the victims
	joined time.Duration // how long that took
}

func (m *member) addrInfo() peer.AddrInfo {
	return peer.AddrInfo{ID: m.host.ID(), Addrs: m.host.Addrs()}
}

// cluster is all hosts of the demo. One goroutine changes it, between checks.
type cluster struct {
	members []*member
	dying   sync.WaitGroup // silenced members that are being closed
}

// newMember starts host number i: an even one listens on TCP and an odd one on
// QUIC, and each dials both. Its identity follows from the seed.
func newMember(seed uint64, i int, opts []pastry.Option) (*member, error) {
	key, err := identity(seed, i)
	if err != nil {
		return nil, err
	}
	m := &member{power: new(netfault.Switch)}
	listen := [...]string{"/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"}[i%2]
	m.host, err = libp2p.New(append(m.power.Options(),
		libp2p.Identity(key),
		libp2p.ListenAddrStrings(listen),
		libp2p.Transport(tcp.NewTCPTransport),
		libp2p.Transport(libp2pquic.NewTransport),
		libp2p.DisableRelay(),
		libp2p.DisableMetrics(),
	)...)
	if err != nil {
		return nil, fmt.Errorf("start host %d: %w", i, err)
	}
	m.id = ring.FromPeer(m.host.ID())
	if m.node, err = pastry.New(m.host, opts...); err != nil {
		return nil, errors.Join(err, m.host.Close())
	}
	return m, nil
}

// identity derives the key of host i in a way that no Go version changes.
func identity(seed uint64, i int) (crypto.PrivKey, error) {
	b := binary.BigEndian.AppendUint64([]byte("pastry demo identity"), seed)
	sum := sha256.Sum256(binary.BigEndian.AppendUint64(b, uint64(i)))
	return crypto.UnmarshalEd25519PrivateKey(ed25519.NewKeyFromSeed(sum[:]))
}

// start starts all hosts, without joining them.
func (d *demo) start(ctx context.Context) error {
	d.steps.begin("start", d.nodes)
	for i := range d.nodes {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		m, err := newMember(d.seed, i, d.options())
		if err != nil {
			return err
		}
		d.cluster.members = append(d.cluster.members, m)
		if err := m.node.Register(demoApp, &recorder{ledger: d.ledger, self: m.host.ID()}); err != nil {
			return err
		}
		d.steps.add()
	}
	d.steps.end("%d hosts, %d on TCP and %d on QUIC", d.nodes, (d.nodes+1)/2, d.nodes/2)
	return nil
}

// join lets one member after the other join through a random earlier one. Those
// that fail take no further part. It is an error if fewer than two join.
func (d *demo) join(ctx context.Context) error {
	d.steps.begin("join", d.nodes)
	for i, m := range d.cluster.members {
		if err := d.joinOne(ctx, m); err != nil {
			d.report.lose("host %d did not join: %v", i, err)
		}
		d.steps.add()
	}
	d.report.joins = d.cluster.joinTimes()
	live := d.cluster.live()
	d.steps.end("%d of %d joined, each within %.0f ms", len(live), d.nodes, ms(slices.Max(append(d.report.joins, 0))))
	if len(live) < d.kill+d.finders+1 {
		return fmt.Errorf("only %d of %d hosts joined, too few to go on:\n%s", len(live), d.nodes, d.report.details())
	}
	return nil
}

func (d *demo) joinOne(ctx context.Context, m *member) error {
	ctx, cancel := context.WithTimeout(ctx, d.joinTimeout)
	defer cancel()
	var through []peer.AddrInfo
	for _, other := range d.cluster.pick(d.rng, 1, nil) {
		through = append(through, other.addrInfo())
	}
	start := time.Now()
	if err := m.node.Join(ctx, through...); err != nil {
		return err
	}
	m.joined, m.live = time.Since(start), true
	return nil
}

func (c *cluster) joinTimes() []time.Duration {
	var times []time.Duration
	for _, m := range c.live() {
		times = append(times, m.joined)
	}
	return times
}

// live returns the members that have joined and are not among the victims.
func (c *cluster) live() []*member {
	return slices.DeleteFunc(slices.Clone(c.members), func(m *member) bool { return !m.live })
}

// pick returns k live members at random, or all if there are fewer, but not
// except.
func (c *cluster) pick(r *rand.Rand, k int, except *member) []*member {
	ms := slices.DeleteFunc(c.live(), func(m *member) bool { return m == except })
	r.Shuffle(len(ms), func(i, j int) { ms[i], ms[j] = ms[j], ms[i] })
	return ms[:min(k, len(ms))]
}

// root returns the live member that is closest to key.
func (c *cluster) root(key ring.ID) *member {
	return slices.MinFunc(c.live(), func(a, b *member) int { return ring.CompareDistance(key, a.id, b.id) })
}

// leaves returns the peers that belong into the leaf set of m: the half nearest
// live members going up the ring, and as many going down.
func (c *cluster) leaves(m *member, half int) map[peer.ID]bool {
	others := slices.DeleteFunc(c.live(), func(o *member) bool { return o == m })
	slices.SortFunc(others, func(a, b *member) int {
		return ring.Clockwise(m.id, a.id).Compare(ring.Clockwise(m.id, b.id))
	})
	want := make(map[peer.ID]bool)
	for i, o := range others {
		if i < half || i >= len(others)-half {
			want[o.host.ID()] = true
		}
	}
	return want
}

// bury takes the victims out of what is expected of the cluster.
func (c *cluster) bury(victims []*member) {
	for _, m := range victims {
		m.live = false
	}
}

// silence cuts the victims' power. What still runs of them, unheard and
// unhearing, is cleared away behind the scenes.
func (c *cluster) silence(victims []*member) {
	for _, m := range victims {
		m.power.Silence()
	}
	for _, m := range victims {
		c.dying.Go(func() { _ = m.close() }) // a dead host's complaints say nothing
	}
}

func (m *member) close() error { return errors.Join(m.node.Close(), m.host.Close()) }

// closeCluster closes whatever was started.
func (d *demo) closeCluster() {
	d.steps.begin("close", len(d.cluster.members))
	errs := make([]error, len(d.cluster.members))
	var wg sync.WaitGroup
	for i, m := range d.cluster.members {
		wg.Go(func() { errs[i] = m.close(); d.steps.add() })
	}
	wg.Wait()
	d.cluster.dying.Wait()
	for _, m := range d.cluster.members {
		_ = m.power.Close() // frees the sockets of the dead
	}
	if err := errors.Join(errs...); err != nil {
		d.steps.warn("closing: %v", err)
	}
	d.steps.end("all hosts closed")
}
