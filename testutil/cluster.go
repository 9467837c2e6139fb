package testutil

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/ring"
)

// ClusterConfig describes a cluster. Its zero value is one without nodes, on a
// wide area network.
type ClusterConfig struct {
	// Network is what the hosts are on. Its seed also chooses through whom a
	// node joins, and where CheckRoots sends from.
	Network NetworkConfig

	// Nodes is how many nodes NewCluster makes; Add makes more.
	Nodes int

	// LeafSetSize is L of every node; zero means 24. Options must not set another.
	LeafSetSize int

	// Options returns the options of node i, which are applied after the
	// cluster's own. Nil means none.
	Options func(i int) []pastry.Option

	// Host returns the options of the host of node i, with the restrictions of
	// Network.NewHost. Nil means none.
	Host func(i int) []libp2p.Option
}

// A Cluster is a number of nodes, each on a simulated host of its own. Nodes go
// by index in the order of their creation. Its methods may be called from any
// goroutine.
type Cluster struct {
	cfg ClusterConfig
	net *Network
	app *recorder

	mu     sync.Mutex // guards what follows
	rng    *rand.Rand
	nodes  []*clusterNode
	groups [][]int // of a partition; nil if there is none
}

// clusterNode is a node and the index of its host in the network.
type clusterNode struct {
	*pastry.Node
	host int
}

// settlePoll is the time between two looks at a ring that is to settle.
const settlePoll = 100 * time.Millisecond

// NewCluster makes a network and nodes that have not joined anything yet. Close
// the cluster, also after using the nodes alone.
func NewCluster(cfg ClusterConfig) (*Cluster, error) {
	if cfg.LeafSetSize == 0 {
		cfg.LeafSetSize = defaultLeafSetSize
	}
	nw, err := NewNetwork(cfg.Network)
	if err != nil {
		return nil, err
	}
	c := &Cluster{cfg: cfg, net: nw, app: newRecorder(), rng: rand.New(rand.NewPCG(cfg.Network.Seed, clusterStream))}
	for range cfg.Nodes {
		if _, err := c.Add(); err != nil {
			return nil, errors.Join(err, c.Close())
		}
	}
	return c, nil
}

const (
	defaultLeafSetSize = 24
	clusterStream      = 1 << 8 // of random numbers, beside those of a Network
)

// Add makes another host and a node on it, which has not joined anything yet,
// and returns its index. The host takes extra besides what ClusterConfig.Host
// returns.
func (c *Cluster) Add(extra ...libp2p.Option) (int, error) {
	// The index is that of the host that is being made: c.mu is held meanwhile,
	// and making a host waits for nothing but this machine.
	c.mu.Lock()
	defer c.mu.Unlock()
	i := len(c.nodes)
	if c.cfg.Host != nil {
		extra = slices.Concat(extra, c.cfg.Host(i))
	}
	h, err := c.net.NewHost(extra...)
	if err != nil {
		return 0, err
	}
	at, err := networkIndex(h)
	if err != nil {
		return 0, err
	}
	opts := []pastry.Option{pastry.WithLeafSetSize(c.cfg.LeafSetSize)}
	if c.cfg.Options != nil {
		opts = append(opts, c.cfg.Options(i)...)
	}
	n, err := pastry.New(h, opts...)
	if err != nil {
		return 0, fmt.Errorf("testutil: node %d: %w", i, err)
	}
	if err := n.Register(probeApp, c.app.node(h.ID())); err != nil {
		return 0, errors.Join(fmt.Errorf("testutil: node %d: %w", i, err), n.Close())
	}
	c.nodes = append(c.nodes, &clusterNode{Node: n, host: at})
	return i, nil
}

// networkIndex returns the index of a host in its network.
func networkIndex(h host.Host) (int, error) {
	for _, a := range h.Network().ListenAddresses() {
		ip, err := manet.ToIP(a)
		if err != nil {
			continue
		}
		if i, ok := hostIndex(&net.UDPAddr{IP: ip, Port: hostPort}); ok {
			return i, nil
		}
	}
	return 0, fmt.Errorf("testutil: host %s listens at no address of the network", h.ID())
}

// Len returns the number of nodes made so far, whatever became of them.
func (c *Cluster) Len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.nodes)
}

// Node returns node i.
func (c *Cluster) Node(i int) *pastry.Node { return c.node(i).Node }

func (c *Cluster) node(i int) *clusterNode {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.nodes[i]
}

// Index returns the index of the node of a peer, the latest if it was started
// anew under the same identity, or -1 if the peer is not of the cluster.
func (c *Cluster) Index(p peer.ID) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, n := range slices.Backward(c.nodes) {
		if n.Host().ID() == p {
			return i
		}
	}
	return -1
}

// Network returns the network the hosts are on, for hosts without a node. Cut
// off hosts with a node through the cluster, which must know of it.
func (c *Cluster) Network() *Network { return c.net }

// Start makes every node that is idle join, in their order and one after the
// other, each through a random one that joined before. The first begins a ring.
func (c *Cluster) Start(ctx context.Context) error {
	for i := range c.Len() {
		if c.Node(i).State() != pastry.StateIdle {
			continue
		}
		if err := c.Join(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

// Join makes node i join through a random live member, and returns when it is
// active. Where there is no member, node i begins a ring. Several may join at
// once when there is a member.
func (c *Cluster) Join(ctx context.Context, i int) error {
	var through []peer.AddrInfo
	if j, ok := c.randomMember(i); ok {
		h := c.Node(j).Host()
		through = append(through, peer.AddrInfo{ID: h.ID(), Addrs: h.Addrs()})
	}
	if err := c.Node(i).Join(ctx, through...); err != nil {
		return fmt.Errorf("testutil: node %d: %w", i, err)
	}
	return nil
}

// randomMember returns a live member that node i can reach.
func (c *Cluster) randomMember(i int) (int, bool) {
	var others []int
	for _, j := range c.part(i) {
		if j != i && c.Live(j) {
			others = append(others, j)
		}
	}
	if len(others) == 0 {
		return 0, false
	}
	return others[c.randomInt(len(others))], true
}

func (c *Cluster) randomInt(n int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.rng.IntN(n)
}

// RandomKeys returns n keys that follow from the seed and earlier calls.
func (c *Cluster) RandomKeys(n int) []ring.ID {
	c.mu.Lock()
	defer c.mu.Unlock()
	keys := make([]ring.ID, n)
	for i := range keys {
		keys[i] = ring.Random(c.rng)
	}
	return keys
}

// Crash cuts nodes off silently: nothing is closed, and they find every other
// silent. See Network.Crash.
func (c *Cluster) Crash(nodes ...int) {
	for _, i := range nodes {
		c.net.Crash(c.node(i).host)
	}
}

// Revive ends the crash of nodes, which come back with the state they have.
func (c *Cluster) Revive(nodes ...int) {
	for _, i := range nodes {
		c.net.Revive(c.node(i).host)
	}
}

// Partition drops packets between nodes of different groups, in place of any
// partition before. Nodes that no group names form one of their own.
func (c *Cluster) Partition(groups ...[]int) {
	hosts := make([][]int, len(groups))
	c.mu.Lock()
	c.groups = nil
	for g, nodes := range groups {
		c.groups = append(c.groups, slices.Clone(nodes))
		for _, i := range nodes {
			hosts[g] = append(hosts[g], c.nodes[i].host)
		}
	}
	c.mu.Unlock()
	c.net.Partition(hosts...)
}

// Heal ends the partition. Crashed nodes stay crashed.
func (c *Cluster) Heal() { c.Partition() }

// parts returns the nodes that can reach each other, apart from crashes: all, or
// the groups of a partition.
func (c *Cluster) parts() [][]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	in := make([]int, len(c.nodes)) // the last group that names the node, from 1
	for g, nodes := range c.groups {
		for _, i := range nodes {
			in[i] = g + 1
		}
	}
	parts := make([][]int, len(c.groups)+1)
	for i, g := range in {
		parts[g] = append(parts[g], i)
	}
	return slices.DeleteFunc(parts, func(p []int) bool { return len(p) == 0 })
}

// part returns the nodes that node i can reach, itself included.
func (c *Cluster) part(i int) []int {
	for _, p := range c.parts() {
		if slices.Contains(p, i) {
			return p
		}
	}
	return nil
}

// Live reports whether node i is an active member that has not crashed.
func (c *Cluster) Live(i int) bool {
	n := c.node(i)
	return n.State() == pastry.StateActive && !c.net.Crashed(n.host)
}

// Settle waits until no node is joining and every leaf set is exact, in each
// part of a partition by itself. When ctx ends first, the error wraps its error
// and tells what is off.
func (c *Cluster) Settle(ctx context.Context) error {
	tick := time.NewTicker(settlePoll)
	defer tick.Stop()
	for {
		err := c.CheckLeafSets(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("testutil: not settled: %w: %w", ctx.Err(), err)
		}
	}
}

// CheckLeafSets returns an error that names the nodes which are still joining
// and the leaf sets which are not exact, in each part of a partition by itself.
func (c *Cluster) CheckLeafSets(ctx context.Context) error {
	var errs []error
	for i := range c.Len() {
		n := c.node(i)
		if s := n.State(); s == pastry.StateJoining && !c.net.Crashed(n.host) {
			errs = append(errs, fmt.Errorf("node %d is %v", i, s))
		}
	}
	for _, part := range c.parts() {
		errs = append(errs, c.Oracle(part...).CheckLeafSets(ctx))
	}
	return errors.Join(errs...)
}

// Close makes all nodes leave, closes the network and waits for both.
func (c *Cluster) Close() error {
	c.mu.Lock()
	nodes := slices.Clone(c.nodes)
	c.mu.Unlock()
	errs := make([]error, len(nodes))
	var wg sync.WaitGroup
	for i, n := range nodes {
		wg.Go(func() { errs[i] = n.Close() })
	}
	wg.Wait()
	return errors.Join(append(errs, c.net.Close())...)
}
