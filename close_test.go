package pastry_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	ds "github.com/ipfs/go-datastore"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/ring"
	"github.com/secondbit/pastry/testutil"
)

// New names every option that is wrong, not only the first.
func TestInvalidOptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nw, err := testutil.NewNetwork(testutil.NetworkConfig{})
		if err != nil {
			t.Fatal(err)
		}
		defer nw.Close()
		h, err := nw.NewHost()
		if err != nil {
			t.Fatal(err)
		}
		wrong := map[string]pastry.Option{
			"WithBootstrapPeers": pastry.WithBootstrapPeers(peer.AddrInfo{}),
			"WithDatastore":      pastry.WithDatastore(nil),
			"WithMode":           pastry.WithMode(9),
			"WithProtocolPrefix": pastry.WithProtocolPrefix("cluster/"),
			"WithRegion":         pastry.WithRegion(strings.Repeat("x", 65)),
			"factor":             pastry.WithRegion("here", .5),
			"WithProximity":      pastry.WithProximity(nil),
			"WithCredentials":    pastry.WithCredentials(pastry.Passphrase("")),
			"WithLeafSetSize":    pastry.WithLeafSetSize(7),
			"WithDigitBits":      pastry.WithDigitBits(0),
			"WithReplication":    pastry.WithReplication(65),
			"WithHeartbeat":      pastry.WithHeartbeat(time.Millisecond),
			"WithProbeTimeout":   pastry.WithProbeTimeout(time.Hour),
			"WithMetrics":        pastry.WithMetrics(nil),
		}
		var all []pastry.Option
		for name, opt := range wrong {
			all = append(all, opt)
			if _, err := pastry.New(h, opt); err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("%s alone: got %v, want an error that names it", name, err)
			}
		}
		_, err = pastry.New(h, all...)
		if err == nil {
			t.Fatal("New took them all")
		}
		for name := range wrong {
			if !strings.Contains(err.Error(), name) {
				t.Errorf("the error does not name %s:\n%v", name, err)
			}
		}
		if _, err := pastry.New(nil); err == nil {
			t.Error("New took no host")
		}
	})
}

// brokenStore is a datastore that fails.
type brokenStore struct{ ds.Batching }

var errBroken = errors.New("disk on fire")

func (brokenStore) Get(context.Context, ds.Key) ([]byte, error) { return nil, errBroken }
func (brokenStore) Put(context.Context, ds.Key, []byte) error   { return errBroken }

// What New has begun when it fails ends with it: the bubble would not.
func TestNewFails(t *testing.T) {
	testutil.WithCluster(t, testutil.ClusterConfig{}, func(t *testing.T, c *testutil.Cluster) {
		h, err := c.Network().NewHost()
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if _, err := pastry.New(h, pastry.WithDatastore(brokenStore{})); !errors.Is(err, errBroken) {
				t.Errorf("got %v, want %v", err, errBroken)
			}
		}
		n, err := pastry.New(h)
		if err != nil {
			t.Fatalf("New after it failed: %v", err)
		}
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
}

// callAll calls every method that can return ErrClosed.
func callAll(ctx context.Context, n *pastry.Node) map[string]error {
	other := n.Host().ID()
	_, route := n.Route(ctx, "echo", ring.ID{}, nil)
	_, send := n.Send(ctx, "echo", other, nil)
	_, info := n.Info(ctx)
	return map[string]error{"Join": n.Join(ctx), "Bootstrap": n.Bootstrap(ctx), "Register": n.Register("late", program{}),
		"Unregister": n.Unregister("echo"), "Route": route, "Send": send, "Info": info}
}

func TestClose(t *testing.T) {
	withRing(t, seeded(111, 4), func(t *testing.T, c *testutil.Cluster) {
		register(t, c, "echo", echo)
		n := c.Node(2)
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if err := n.Close(); err != nil {
					t.Error(err)
				}
				if got := n.State(); got != pastry.StateIdle {
					t.Errorf("Close returned and the node is %v", got)
				}
			})
		}
		wg.Wait()
		for name, err := range callAll(t.Context(), n) {
			if !errors.Is(err, pastry.ErrClosed) {
				t.Errorf("%s: got %v, want %v", name, err, pastry.ErrClosed)
			}
		}
		if next, ok := n.NextHop(c.Node(0).ID()); ok {
			t.Errorf("a closed node names the next hop %v", next)
		}
		if n.Ready() {
			t.Error("a closed node is ready")
		}
		if got := n.Host().Network().Connectedness(c.Node(0).Host().ID()); got.String() != "Connected" {
			t.Errorf("the host is %v, want it left open", got)
		}
		settle(t, c, time.Minute)

		// The host can have another node.
		again, err := pastry.New(n.Host())
		if err != nil {
			t.Fatal(err)
		}
		if err := again.Join(within(t, 30*time.Second), addrInfo(c.Node(0).Host())); err != nil {
			t.Error(err)
		}
		if err := again.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestCloseIdle(t *testing.T) {
	testutil.WithCluster(t, seeded(112, 1), func(t *testing.T, c *testutil.Cluster) {
		start := time.Now()
		if err := c.Node(0).Close(); err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took > 100*time.Millisecond {
			t.Errorf("closing a node that is in no ring took %v", took)
		}
	})
}

// Calls under way end when the node closes: its own, and those it should answer.
func TestCloseEndsCalls(t *testing.T) {
	for name, closing := range map[string]int{"caller": 0, "root": 1} {
		t.Run(name, func(t *testing.T) {
			withRing(t, seeded(113, 3), func(t *testing.T, c *testutil.Cluster) {
				register(t, c, "slow", func(int) pastry.Application {
					return program{deliver: func(ctx context.Context, _ *pastry.Message) ([]byte, error) {
						<-ctx.Done()
						return nil, ctx.Err()
					}}
				})
				ended := make(chan error, 1)
				go func() {
					_, err := c.Node(0).Route(within(t, 5*time.Minute), "slow", c.Node(1).ID(), nil)
					ended <- err
				}()
				time.Sleep(time.Second)
				start := time.Now()
				if err := c.Node(closing).Close(); err != nil {
					t.Error(err)
				}
				if took, limit := time.Since(start), 5*time.Second; took > limit {
					t.Errorf("Close took %v, want at most %v", took, limit)
				}
				err := <-ended
				t.Logf("the call ended after %v: %v", time.Since(start), err)
				if closing == 0 && !errors.Is(err, pastry.ErrClosed) {
					t.Errorf("got %v, want %v", err, pastry.ErrClosed)
				}
				if took, limit := time.Since(start), 10*time.Second; err == nil || took > limit {
					t.Errorf("the call ended with %v after %v, want an error within %v", err, took, limit)
				}
			})
		})
	}
}

// An application that never returns does not keep Close from doing so.
func TestCloseLeavesStuckApplicationBehind(t *testing.T) {
	withRing(t, seeded(114, 2), func(t *testing.T, c *testutil.Cluster) {
		h, err := c.Network().NewHost()
		if err != nil {
			t.Fatal(err)
		}
		n, err := pastry.New(h)
		if err != nil {
			t.Fatal(err)
		}
		release := make(chan struct{})
		stuck := program{deliver: func(context.Context, *pastry.Message) ([]byte, error) { <-release; return nil, nil }}
		if err := n.Register("stuck", stuck); err != nil {
			t.Fatal(err)
		}
		if err := n.Join(within(t, 30*time.Second), addrInfo(c.Node(0).Host())); err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = c.Node(0).Send(within(t, 5*time.Second), "stuck", h.ID(), nil) }()
		time.Sleep(time.Second)

		start := time.Now()
		err = n.Close()
		if err == nil || !strings.Contains(err.Error(), "application") {
			t.Errorf("got %v, want an error about the application", err)
		}
		if took, limit := time.Since(start), 10*time.Second; took > limit {
			t.Errorf("Close took %v, want at most %v", took, limit)
		}
		close(release)
		settle(t, c, time.Minute)
	})
}
