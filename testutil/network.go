package testutil

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	libp2pquic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/p2p/transport/quicreuse"
	"github.com/marcopolo/simnet"
	"github.com/secondbit/pastry/internal/netfault"
)

// ErrNetworkClosed is returned by NewHost after Close.
var ErrNetworkClosed = errors.New("testutil: network closed")

// DefaultBandwidth is the rate of a host's link in each direction, in bits a
// second, where NetworkConfig names none.
const DefaultBandwidth = 100_000_000

// NetworkConfig describes a simulated network. Its zero value is usable.
type NetworkConfig struct {
	// Seed determines the hosts' keys, regions and latencies, and which packets
	// are lost.
	Seed uint64

	// Latency returns how long a packet travels from host a to host b. It must
	// be a pure function and is called concurrently. Nil means a wide area: each
	// host is in one of six regions (see Network.Region), and round trips are 66 to
	// 225 ms between two of them and 2 to 10 ms within one.
	Latency func(a, b int) time.Duration

	// Bandwidth of a host's link in each direction, in bits a second; zero means
	// DefaultBandwidth.
	Bandwidth int64

	// Loss is the probability that a packet is lost, in [0, 1).
	Loss float64
}

func (c NetworkConfig) validate() error {
	var errs []error
	if c.Bandwidth < 0 {
		errs = append(errs, fmt.Errorf("bandwidth of %d bits a second is negative", c.Bandwidth))
	}
	if !(c.Loss >= 0 && c.Loss < 1) {
		errs = append(errs, fmt.Errorf("loss of %v is not in [0, 1)", c.Loss))
	}
	return errors.Join(errs...)
}

// A Network is a simulated internet of real libp2p hosts, which go by index in
// the order of their creation. Its methods may be called from any goroutine.
type Network struct {
	cfg  NetworkConfig
	cuts netfault.Cuts

	lossMu sync.Mutex
	loss   *rand.Rand

	mu     sync.Mutex
	sim    *simnet.Simnet
	hosts  []host.Host // nil while a host is being made, or if that failed
	closed bool

	done     chan struct{} // closed when Close has finished
	closeErr error         // set before done is closed
}

// NewNetwork returns a running network without hosts. Close it.
func NewNetwork(cfg NetworkConfig) (*Network, error) {
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("testutil: invalid network: %w", err)
	}
	if cfg.Bandwidth == 0 {
		cfg.Bandwidth = DefaultBandwidth
	}
	n := &Network{
		cfg:  cfg,
		loss: rand.New(rand.NewPCG(cfg.Seed, lossStream)),
		done: make(chan struct{}),
	}
	n.sim = &simnet.Simnet{
		LatencyFunc: n.packetLatency,
		Logger:      slog.New(slog.DiscardHandler),
	}
	n.sim.Start()
	return n, nil
}

// NewHost adds a host that listens on a public IPv4 address over QUIC. Its key,
// if extra holds no other, follows from the seed and its index. It collects no
// metrics, has no resource limits unless extra sets them, does not relay, and
// neither learns its addresses from peers nor judges whether UDP is blocked.
//
// extra must not choose transports, listen addresses or QUICReuse. Close closes
// the host; closing it before is allowed. An index, once given out, stays taken,
// also if NewHost fails.
func (n *Network) NewHost(extra ...libp2p.Option) (host.Host, error) {
	i, err := n.reserve()
	if err != nil {
		return nil, err
	}
	h, err := libp2p.New(slices.Concat(extra, n.hostOptions(i))...)
	if err != nil {
		return nil, fmt.Errorf("testutil: host %d: %w", i, err)
	}
	if !n.admit(i, h) {
		return nil, errors.Join(ErrNetworkClosed, h.Close())
	}
	return h, nil
}

// reserve gives out the next index.
func (n *Network) reserve() (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	i := len(n.hosts)
	switch {
	case n.closed:
		return 0, ErrNetworkClosed
	case i == maxHosts:
		return 0, fmt.Errorf("testutil: a network holds at most %d hosts", maxHosts)
	}
	n.hosts = append(n.hosts, nil)
	return i, nil
}

// admit leaves the closing of h to Close, or reports false if that was called.
func (n *Network) admit(i int, h host.Host) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return false
	}
	n.hosts[i] = h
	return true
}

func (n *Network) hostOptions(i int) []libp2p.Option {
	source := func() (quicreuse.SourceIPSelector, error) { return sourceIP(hostIP(i)), nil }
	return []libp2p.Option{
		libp2p.Transport(libp2pquic.NewTransport),
		netfault.QUIC(n.listener(i), quicreuse.OverrideSourceIPSelector(source)),
		libp2p.ListenAddrStrings(fmt.Sprintf("/ip4/%s/udp/%d/quic-v1", hostIP(i), hostPort)),
		libp2p.DisableIdentifyAddressDiscovery(), // a host knows its address
		libp2p.UDPBlackHoleSuccessCounter(nil),
		libp2p.DisableMetrics(),
		libp2p.DisableRelay(),
		func(cfg *libp2p.Config) error {
			if cfg.ResourceManager == nil {
				cfg.ResourceManager = &network.NullResourceManager{}
			}
			if cfg.PeerKey != nil {
				return nil
			}
			key, err := hostKey(n.cfg.Seed, i)
			cfg.PeerKey = key
			return err
		},
	}
}

// hostKey returns the key of host i. It does not change with the Go version,
// which ed25519.GenerateKey with a seeded reader might.
func hostKey(seed uint64, i int) (crypto.PrivKey, error) {
	b := append([]byte("pastry testutil host key"), make([]byte, 16)...)
	binary.BigEndian.PutUint64(b[len(b)-16:], seed)
	binary.BigEndian.PutUint64(b[len(b)-8:], uint64(i))
	sum := sha256.Sum256(b)
	return crypto.UnmarshalEd25519PrivateKey(ed25519.NewKeyFromSeed(sum[:]))
}

// Latency returns how long a packet travels from host i to host j, apart from
// the time it takes to put it on the links.
func (n *Network) Latency(i, j int) time.Duration {
	if n.cfg.Latency != nil {
		return n.cfg.Latency(i, j)
	}
	return wanLatency(n.cfg.Seed, i, j)
}

func (n *Network) packetLatency(p *simnet.Packet) time.Duration {
	from, _ := hostIndex(p.From)
	to, _ := hostIndex(p.To)
	return n.Latency(from, to)
}

// Crash cuts host i off silently: from now on packets from it and to it are
// dropped, those under way included. Nothing is closed; the host runs on and
// finds every other silent.
func (n *Network) Crash(i int) { n.cuts.Crash(i, true) }

// Revive ends the crash of host i, which comes back with the state it has.
func (n *Network) Revive(i int) { n.cuts.Crash(i, false) }

// Crashed reports whether host i is cut off by Crash.
func (n *Network) Crashed(i int) bool { return n.cuts.Crashed(i) }

// Partition drops packets between hosts of different groups, in place of any
// partition before. Hosts that no group names form one of their own, as do
// hosts that are added later. A host named twice is in the last of its groups.
func (n *Network) Partition(groups ...[]int) { n.cuts.Partition(groups...) }

// Heal ends the partition. Crashed hosts stay crashed.
func (n *Network) Heal() { n.cuts.Partition() }

// Close cuts every host off, so that none reacts to the end of another, then
// closes the hosts and the network, and waits for that. It is idempotent.
func (n *Network) Close() error {
	n.mu.Lock()
	first := !n.closed
	n.closed = true
	n.mu.Unlock()
	if first {
		n.closeErr = n.shutdown()
		close(n.done)
	}
	<-n.done
	return n.closeErr
}

// shutdown is the work of Close. No host is admitted any more.
func (n *Network) shutdown() error {
	n.cuts.All()
	errs := make([]error, len(n.hosts))
	var wg sync.WaitGroup
	for i, h := range n.hosts {
		if h != nil {
			wg.Go(func() { errs[i] = h.Close() })
		}
	}
	wg.Wait()
	n.sim.Close()
	return errors.Join(errs...)
}

// lost draws whether the next packet is lost.
func (n *Network) lost() bool {
	if n.cfg.Loss == 0 {
		return false
	}
	n.lossMu.Lock()
	defer n.lossMu.Unlock()
	return n.loss.Float64() < n.cfg.Loss
}

// listener returns what stands for net.ListenUDP at host i.
func (n *Network) listener(i int) func(string, *net.UDPAddr) (net.PacketConn, error) {
	link := simnet.LinkSettings{BitsPerSecond: int(n.cfg.Bandwidth)}
	return func(_ string, laddr *net.UDPAddr) (net.PacketConn, error) {
		n.mu.Lock()
		defer n.mu.Unlock()
		if n.closed {
			return nil, net.ErrClosed
		}
		c := n.sim.NewEndpoint(laddr, simnet.NodeBiDiLinkSettings{Uplink: link, Downlink: link})
		return &endpoint{SimConn: c, nw: n, index: i}, nil
	}
}

// endpoint is the UDP socket of a host. It drops packets when they are sent,
// and those that were under way when a cut was made when they arrive.
type endpoint struct {
	*simnet.SimConn
	nw    *Network
	index int
}

func (e *endpoint) WriteTo(p []byte, to net.Addr) (int, error) {
	j, ok := hostIndex(to)
	if !ok || e.nw.cuts.Between(e.index, j) || e.nw.lost() {
		return len(p), nil
	}
	return e.SimConn.WriteTo(p, to)
}

func (e *endpoint) ReadFrom(p []byte) (int, net.Addr, error) {
	for {
		k, from, err := e.SimConn.ReadFrom(p)
		if err != nil {
			return k, from, err
		}
		if j, ok := hostIndex(from); ok && !e.nw.cuts.Between(e.index, j) {
			return k, from, nil
		}
	}
}

// Hosts live at 11.0.0.1 to 90.255.0.1, each in a /16 of its own: public
// addresses, so that nothing takes them for one site.
const (
	hostPort   = 4001
	firstOctet = 11
	octets     = 80
	maxHosts   = octets * 256
)

func hostIP(i int) net.IP {
	return net.IPv4(byte(firstOctet+i%octets), byte(i/octets), 0, 1)
}

// hostIndex is the inverse of hostIP. It reports false if no host has addr.
func hostIndex(addr net.Addr) (int, bool) {
	udp, ok := addr.(*net.UDPAddr)
	if !ok {
		return 0, false
	}
	ip := udp.IP.To4()
	if ip == nil || ip[0] < firstOctet {
		return 0, false
	}
	i := int(ip[0]-firstOctet) + octets*int(ip[1])
	return i, udp.Port == hostPort && udp.IP.Equal(hostIP(i))
}

// sourceIP is the address all of a host's packets leave from.
type sourceIP net.IP

func (ip sourceIP) PreferredSourceIPForDestination(*net.UDPAddr) (net.IP, error) {
	return net.IP(ip), nil
}

// Streams of random numbers drawn from one seed.
const (
	lossStream = iota + 1
	regionStream
	latencyStream
)

var regions = [...]string{"us-east", "us-west", "europe", "japan", "singapore", "india"}

// regionRTT holds the least round trip between two regions, in milliseconds. A
// pair of hosts has up to a twentieth more.
var regionRTT = [len(regions)][len(regions)]float64{
	{0, 66, 92, 155, 212, 190},
	{66, 0, 142, 97, 161, 214},
	{92, 142, 0, 213, 158, 120},
	{155, 97, 213, 0, 68, 128},
	{212, 161, 158, 68, 0, 67},
	{190, 214, 120, 128, 67, 0},
}

// Region returns the name of the region in which the seed places host i.
func (n *Network) Region(i int) string { return regions[regionOf(n.cfg.Seed, i)] }

func regionOf(seed uint64, i int) int {
	return int(draw(seed, regionStream, i, i) * float64(len(regions)))
}

// wanLatency returns half a round trip between hosts i and j, either way round.
func wanLatency(seed uint64, i, j int) time.Duration {
	if i == j {
		return 0
	}
	u := draw(seed, latencyStream, min(i, j), max(i, j))
	rtt := regionRTT[regionOf(seed, i)][regionOf(seed, j)] * (1 + u/20)
	if rtt == 0 {
		rtt = 2 + 8*u
	}
	return time.Duration(rtt / 2 * float64(time.Millisecond))
}

// draw returns a number in [0, 1) that belongs to a stream and two indices.
func draw(seed, stream uint64, i, j int) float64 {
	var g rand.PCG
	g.Seed(seed, stream<<60|uint64(i)<<30|uint64(j))
	return float64(g.Uint64()>>11) / (1 << 53)
}
