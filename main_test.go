package pastry_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	logging "github.com/ipfs/go-log/v2"
	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"go.uber.org/goleak"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/ring"
	"github.com/secondbit/pastry/testutil"
)

func TestMain(m *testing.M) {
	// Some tests make applications panic, which is logged with a stack each.
	if err := logging.SetLogLevel("pastry", "fatal"); err != nil {
		panic(err)
	}
	// A closed leveldb takes a second to end this one.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/syndtr/goleveldb/leveldb.(*DB).mpoolDrain"))
}

// withRing runs f on a ring of settled nodes.
func withRing(t *testing.T, cfg testutil.ClusterConfig, f func(t *testing.T, c *testutil.Cluster)) {
	t.Helper()
	testutil.WithCluster(t, cfg, func(t *testing.T, c *testutil.Cluster) {
		if err := c.Start(within(t, 10*time.Minute)); err != nil {
			t.Fatal(err)
		}
		settle(t, c, time.Minute)
		f(t, c)
	})
}

// long marks a test of what takes long, though in virtual time: it is left out of
// short runs, and runs beside others.
func long(t *testing.T, why string) {
	t.Helper()
	if testing.Short() {
		t.Skip(why)
	}
	t.Parallel()
}

// seeded is the configuration of a cluster of some nodes.
func seeded(seed uint64, nodes int, opts ...pastry.Option) testutil.ClusterConfig {
	return testutil.ClusterConfig{Network: testutil.NetworkConfig{Seed: seed}, Nodes: nodes,
		Options: func(int) []pastry.Option { return opts }}
}

// within returns a context of the test that ends after d.
func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func settle(t *testing.T, c *testutil.Cluster, limit time.Duration) time.Duration {
	t.Helper()
	start := time.Now()
	if err := c.Settle(within(t, limit)); err != nil {
		t.Fatal(err)
	}
	return time.Since(start)
}

func checkRoots(t *testing.T, c *testutil.Cluster, keys int) {
	t.Helper()
	if err := c.CheckRoots(within(t, 30*time.Second), c.RandomKeys(keys)...); err != nil {
		t.Error(err)
	}
}

// loopbackHost returns a host on real sockets.
func loopbackHost(t *testing.T) host.Host {
	t.Helper()
	h, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"), libp2p.DisableMetrics())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

// loopback returns a ring of nodes on real sockets.
func loopback(t *testing.T, count int, opts ...pastry.Option) []*pastry.Node {
	t.Helper()
	var nodes []*pastry.Node
	for range count {
		n, err := pastry.New(loopbackHost(t), opts...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := n.Close(); err != nil {
				t.Error(err)
			}
		})
		var through []peer.AddrInfo
		if len(nodes) > 0 {
			through = append(through, addrInfo(nodes[0].Host()))
		}
		if err := n.Join(within(t, 30*time.Second), through...); err != nil {
			t.Fatal(err)
		}
		nodes = append(nodes, n)
	}
	return nodes
}

func addrInfo(h host.Host) peer.AddrInfo { return peer.AddrInfo{ID: h.ID(), Addrs: h.Addrs()} }

// program is an application made of functions. Where one is nil, Deliver
// returns the payload and Forward lets pass.
type program struct {
	deliver func(ctx context.Context, m *pastry.Message) ([]byte, error)
	forward func(ctx context.Context, m *pastry.Message, next peer.ID) bool
}

func (p program) Deliver(ctx context.Context, m *pastry.Message) ([]byte, error) {
	if p.deliver == nil {
		return m.Payload, nil
	}
	return p.deliver(ctx, m)
}

func (p program) Forward(ctx context.Context, m *pastry.Message, next peer.ID) bool {
	return p.forward == nil || p.forward(ctx, m, next)
}

// register makes an application on every node of a cluster.
func register(t *testing.T, c *testutil.Cluster, name string, app func(i int) pastry.Application) {
	t.Helper()
	for i := range c.Len() {
		if err := c.Node(i).Register(name, app(i)); err != nil {
			t.Fatal(err)
		}
	}
}

func echo(int) pastry.Application { return program{} }

// call is a message and what became of it.
type call struct {
	from    int
	key     ring.ID
	took    time.Duration
	receipt pastry.Receipt
	err     error
}

// traffic routes messages of an application, one every gap, to random keys
// from the nodes given in turn, and returns them when all have ended. Each has
// limit to arrive.
func traffic(t *testing.T, c *testutil.Cluster, app string, from []int, count int, gap, limit time.Duration) []call {
	t.Helper()
	calls := make([]call, count)
	var wg sync.WaitGroup
	for i, key := range c.RandomKeys(count) {
		calls[i] = call{from: from[i%len(from)], key: key}
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			m, begun := &calls[i], time.Now()
			m.receipt, m.err = c.Node(m.from).Route(ctx, app, key, []byte{byte(i), byte(i >> 8)})
			m.took = time.Since(begun)
		})
		time.Sleep(gap)
	}
	wg.Wait()
	return calls
}

// quantile returns the q-quantile of how long messages took.
func quantile(calls []call, q float64) time.Duration {
	took := make([]time.Duration, len(calls))
	for i, m := range calls {
		took[i] = m.took
	}
	slices.Sort(took)
	return took[min(int(q*float64(len(took))), len(took)-1)]
}

// upTo returns the numbers from, from+1, … below to.
func upTo(from, to int) []int {
	var is []int
	for i := from; i < to; i++ {
		is = append(is, i)
	}
	return is
}
