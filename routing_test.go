package pastry_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multihash"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/ring"
	"github.com/secondbit/pastry/testutil"
)

// find collects what a node finds, sorted by peer.
func find(t *testing.T, n *pastry.Node, c cid.Cid, count int) []peer.AddrInfo {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var infos []peer.AddrInfo
	for info := range n.FindProvidersAsync(ctx, c, count) {
		infos = append(infos, info)
	}
	if err := ctx.Err(); err != nil {
		t.Errorf("finding providers: %v", err)
	}
	slices.SortFunc(infos, func(a, b peer.AddrInfo) int { return slices.Compare([]byte(a.ID), []byte(b.ID)) })
	return infos
}

func infosOf(nodes ...*pastry.Node) []peer.AddrInfo {
	var infos []peer.AddrInfo
	for _, n := range nodes {
		infos = append(infos, peer.AddrInfo{ID: n.Host().ID(), Addrs: n.Host().Addrs()})
	}
	slices.SortFunc(infos, func(a, b peer.AddrInfo) int { return slices.Compare([]byte(a.ID), []byte(b.ID)) })
	return infos
}

func provide(t *testing.T, n *pastry.Node, c cid.Cid) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := n.Provide(ctx, c, true); err != nil {
		t.Fatalf("Provide: %v", err)
	}
}

func checkFound(t *testing.T, n *pastry.Node, c cid.Cid, want []peer.AddrInfo) {
	t.Helper()
	if diff := cmp.Diff(find(t, n, c, 0), want); diff != "" {
		t.Errorf("providers that %s finds differ (-got +want):\n%s", n.Host().ID(), diff)
	}
}

func TestProvideAndFind(t *testing.T) {
	nodes := pastry.LoopbackRing(t, 8)
	one, several, none := pastry.ContentCID(t, "one"), pastry.ContentCID(t, "several"), pastry.ContentCID(t, "none")
	provide(t, nodes[3], one)
	for _, n := range nodes[:5] {
		provide(t, n, several)
	}
	provide(t, nodes[0], several) // again
	for _, n := range nodes {
		checkFound(t, n, one, infosOf(nodes[3]))
		checkFound(t, n, several, infosOf(nodes[:5]...))
		checkFound(t, n, none, nil)
	}
}

// CIDs that differ only in version or codec name the same content.
func TestFindByOtherCID(t *testing.T) {
	nodes := pastry.LoopbackRing(t, 2)
	c := pastry.ContentCID(t, "content")
	provide(t, nodes[0], c)
	checkFound(t, nodes[1], cid.NewCidV0(c.Hash()), infosOf(nodes[0]))
}

func TestFindCount(t *testing.T) {
	nodes := pastry.LoopbackRing(t, 6)
	c := pastry.ContentCID(t, "content")
	for _, n := range nodes[:4] {
		provide(t, n, c)
	}
	for _, test := range []struct{ count, want int }{{0, 4}, {1, 1}, {3, 3}, {4, 4}, {100, 4}} {
		t.Run(fmt.Sprint(test.count), func(t *testing.T) {
			for _, n := range nodes {
				if got := len(find(t, n, c, test.count)); got != test.want {
					t.Errorf("got %d providers, want %d", got, test.want)
				}
			}
		})
	}
}

func TestFindEndsWithContext(t *testing.T) {
	nodes := pastry.LoopbackRing(t, 3)
	c := pastry.ContentCID(t, "content")
	for _, n := range nodes {
		provide(t, n, c)
	}
	t.Run("while the reader is slow", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		ch := nodes[0].FindProvidersAsync(ctx, c, 0)
		<-ch
		cancel()
		rest := 0
		for range ch {
			rest++
		}
		if rest > 2 {
			t.Errorf("got %d more providers, want 2 at most", rest)
		}
	})
	t.Run("before it begins", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for range nodes[0].FindProvidersAsync(ctx, pastry.ContentCID(t, "other"), 0) {
			t.Error("got a provider of a content that nobody has")
		}
	})
	t.Run("when the node is closed", func(t *testing.T) {
		ch := nodes[2].FindProvidersAsync(context.Background(), c, 0)
		<-ch
		nodes[2].Close()
		for range ch {
			t.Error("got a provider from a node that is closed")
		}
	})
}

func TestUndefinedCID(t *testing.T) {
	n := pastry.LoopbackRing(t, 1)[0]
	if err := n.Provide(t.Context(), cid.Undef, true); err == nil {
		t.Error("Provide: got no error")
	}
	for _, announce := range []bool{true, false} {
		if err := n.Provide(t.Context(), longCID(t), announce); err == nil {
			t.Errorf("Provide of a CID too long, announce %t: got no error", announce)
		}
	}
	for _, c := range []cid.Cid{cid.Undef, longCID(t)} {
		if got := find(t, n, c, 0); got != nil {
			t.Errorf("got %v, want no provider", got)
		}
	}
}

// longCID returns a CID with its content in it, too long to be provided.
func longCID(t *testing.T) cid.Cid {
	mh, err := multihash.Sum(make([]byte, 1000), multihash.IDENTITY, -1)
	if err != nil {
		t.Fatal(err)
	}
	return cid.NewCidV1(cid.Raw, mh)
}

func TestProvideLocally(t *testing.T) {
	nodes := pastry.LoopbackRing(t, 2)
	c := pastry.ContentCID(t, "content")
	if err := nodes[0].Provide(t.Context(), c, false); err != nil {
		t.Fatal(err)
	}
	checkFound(t, nodes[0], c, infosOf(nodes[0]))
	checkFound(t, nodes[1], c, nil)
}

func TestProvideOutsideRing(t *testing.T) {
	h, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"))
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	n, err := pastry.New(h)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	c := pastry.ContentCID(t, "content")
	if err := n.Provide(t.Context(), c, true); !errors.Is(err, pastry.ErrNotActive) {
		t.Errorf("before Join: got %v, want ErrNotActive", err)
	}
	checkFound(t, n, c, infosOf(n))
	n.Close()
	if err := n.Provide(t.Context(), c, true); !errors.Is(err, pastry.ErrClosed) {
		t.Errorf("after Close: got %v, want ErrClosed", err)
	}
	checkFound(t, n, c, nil)
}

func TestFindAfterRootIsGone(t *testing.T) {
	for name, end := range map[string]func(*pastry.Node) error{
		"left":    (*pastry.Node).Close,
		"crashed": func(n *pastry.Node) error { return n.Host().Close() },
	} {
		t.Run(name, func(t *testing.T) {
			nodes := pastry.LoopbackRing(t, 8, pastry.WithReplication(4))
			c := pastry.ContentCID(t, name)
			order := pastry.RootFirst(nodes, c)
			root, rest := order[0], order[1:]
			provide(t, rest[6], c)
			if err := end(root); err != nil {
				t.Fatal(err)
			}
			for _, n := range rest {
				checkFound(t, n, c, infosOf(rest[6]))
			}
			provide(t, rest[2], c)
			for _, n := range rest {
				checkFound(t, n, c, infosOf(rest[2], rest[6]))
			}
		})
	}
}

// A node that joins as the closest one to a key finds out what it has to hold.
func TestFindAfterRootJoined(t *testing.T) {
	nodes := pastry.LoopbackRing(t, 6)
	late := nodes[5]
	var contents []cid.Cid
	for i := 0; len(contents) < 3; i++ {
		if c := pastry.ContentCID(t, fmt.Sprint(i)); pastry.RootFirst(nodes, c)[0] == late {
			contents = append(contents, c)
		}
	}
	info := infosOf(nodes[0])
	if err := late.Close(); err != nil {
		t.Fatal(err)
	}
	for _, c := range contents {
		provide(t, nodes[0], c)
	}
	again, err := pastry.New(late.Host())
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if err := again.Join(t.Context(), info...); err != nil {
		t.Fatal(err)
	}
	for _, c := range contents {
		checkFound(t, nodes[1], c, info)
		checkFound(t, again, c, info)
	}
}

// Up to seven of the eight holders of a record may die without a word.
func TestFindAfterSilentCrashes(t *testing.T) {
	const seed, nodes, files = 1, 24, 10
	withRing(t, seeded(seed, nodes), func(t *testing.T, c *testutil.Cluster) {
		last := c.Node(nodes - 1)
		var contents []cid.Cid
		for i := range files {
			contents = append(contents, pastry.ContentCID(t, fmt.Sprint(i)))
			provide(t, last, contents[i])
		}
		time.Sleep(time.Second)
		crashed := rand.New(rand.NewPCG(seed, seed)).Perm(nodes - 1)[:nodes/4]
		root := c.Index(c.Oracle().Root(ring.FromMultihash(contents[0].Hash())).Host().ID())
		if root != nodes-1 && !slices.Contains(crashed, root) {
			crashed[0] = root
		}
		c.Crash(crashed...)
		check := func(limit time.Duration) {
			for _, content := range contents {
				for i := range nodes {
					if !c.Live(i) {
						continue
					}
					begun := time.Now()
					checkFound(t, c.Node(i), content, infosOf(last))
					if took := time.Since(begun); took > limit {
						t.Errorf("node %d took %v to find a provider, want %v at most", i, took, limit)
					}
				}
			}
		}
		check(10 * time.Second) // at once
		settle(t, c, 5*time.Minute)
		check(2 * time.Second)
		provide(t, last, pastry.ContentCID(t, "later"))
	})
}

// A search that waits for a silent root ends when it is cancelled.
func TestCancelledFindEndsAtOnce(t *testing.T) {
	withRing(t, seeded(2, 6), func(t *testing.T, c *testutil.Cluster) {
		content := pastry.ContentCID(t, "content")
		c.Crash(upTo(1, 6)...)
		ctx, cancel := context.WithCancel(t.Context())
		ch := c.Node(0).FindProvidersAsync(ctx, content, 0)
		time.Sleep(10 * time.Millisecond)
		cancelled := time.Now()
		cancel()
		for range ch {
			t.Error("got a provider")
		}
		if late := time.Since(cancelled); late > 0 {
			t.Errorf("the channel was closed %v after the cancellation, want at once", late)
		}
	})
}

// A record is found for 48 hours after Provide was called last, and then no more.
func TestRecordsExpire(t *testing.T) {
	const validity = 48 * time.Hour
	withRing(t, seeded(3, 3, pastry.WithHeartbeat(10*time.Minute)), func(t *testing.T, c *testutil.Cluster) {
		once, again := pastry.ContentCID(t, "once"), pastry.ContentCID(t, "again")
		provide(t, c.Node(0), once)
		provide(t, c.Node(0), again)
		time.Sleep(validity / 2)
		provide(t, c.Node(0), again)
		time.Sleep(validity/2 - time.Minute)
		for i := range 3 {
			checkFound(t, c.Node(i), once, infosOf(c.Node(0)))
		}
		time.Sleep(2 * time.Minute)
		for i := range 3 {
			checkFound(t, c.Node(i), once, nil)
			checkFound(t, c.Node(i), again, infosOf(c.Node(0)))
		}
	})
}

func TestProvideAndFindConcurrently(t *testing.T) {
	nodes := pastry.LoopbackRing(t, 5)
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			c := pastry.ContentCID(t, fmt.Sprint(i))
			n := nodes[i%len(nodes)]
			if err := n.Provide(t.Context(), c, true); err != nil {
				t.Errorf("content %d: %v", i, err)
				return
			}
			var inner sync.WaitGroup
			for _, finder := range nodes {
				inner.Go(func() {
					var got []peer.ID
					for info := range finder.FindProvidersAsync(t.Context(), c, 0) {
						got = append(got, info.ID)
					}
					if diff := cmp.Diff(got, []peer.ID{n.Host().ID()}); diff != "" {
						t.Errorf("providers of content %d differ (-got +want):\n%s", i, diff)
					}
				})
			}
			inner.Wait()
		})
	}
	wg.Wait()
}

func TestProvideByClient(t *testing.T) {
	nodes := pastry.LoopbackRing(t, 3)
	h, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"))
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	client, err := pastry.New(h, pastry.WithMode(pastry.ModeClient))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.Join(t.Context(), infosOf(nodes[0])...); err != nil {
		t.Fatal(err)
	}
	c, d := pastry.ContentCID(t, "client's"), pastry.ContentCID(t, "member's")
	provide(t, client, c)
	provide(t, nodes[1], d)
	for _, n := range nodes {
		checkFound(t, n, c, infosOf(client))
	}
	checkFound(t, client, d, infosOf(nodes[1]))
}

func ExampleNode_Provide() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	nodes, closeAll := newRing(3)
	defer closeAll()

	mh, err := multihash.Sum([]byte("hello"), multihash.SHA2_256, -1)
	if err != nil {
		panic(err)
	}
	c := cid.NewCidV1(cid.Raw, mh)
	if err := nodes[1].Provide(ctx, c, true); err != nil {
		panic(err)
	}
	for info := range nodes[2].FindProvidersAsync(ctx, c, 0) {
		fmt.Println(c, "is provided by the second node:", info.ID == nodes[1].Host().ID())
	}
	// Output: bafkreibm6jg3ux5qumhcn2b3flc3tyu6dmlb4xa7u5bf44yegnrjhc4yeq is provided by the second node: true
}
