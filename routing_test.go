package pastry_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multihash"

	"github.com/secondbit/pastry"
)

// find collects what a node finds, sorted by peer.
func find(t testing.TB, n *pastry.Node, c cid.Cid, count int) []peer.AddrInfo {
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
	sortInfos(infos)
	return infos
}

func sortInfos(infos []peer.AddrInfo) {
	slices.SortFunc(infos, func(a, b peer.AddrInfo) int { return slices.Compare([]byte(a.ID), []byte(b.ID)) })
}

func infosOf(nodes ...*pastry.Node) []peer.AddrInfo {
	var infos []peer.AddrInfo
	for _, n := range nodes {
		infos = append(infos, peer.AddrInfo{ID: n.Host().ID(), Addrs: n.Host().Addrs()})
	}
	sortInfos(infos)
	return infos
}

func provide(t testing.TB, n *pastry.Node, c cid.Cid) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := n.Provide(ctx, c, true); err != nil {
		t.Fatalf("Provide: %v", err)
	}
}

func checkFound(t testing.TB, n *pastry.Node, c cid.Cid, want []peer.AddrInfo) {
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
	for _, test := range []struct{ count, want int }{{0, 4}, {1, 1}, {3, 3}, {4, 4}, {100, 4}, {-1, 4}} {
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
	for _, announce := range []bool{true, false} {
		for name, c := range map[string]cid.Cid{"undefined": cid.Undef, "too long": longCID(t)} {
			if err := n.Provide(t.Context(), c, announce); err == nil {
				t.Errorf("Provide of a CID that is %s, announce %t: got no error", name, announce)
			}
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
	n, err := pastry.New(loopbackHost(t))
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
	for _, announce := range []bool{true, false} {
		if err := n.Provide(t.Context(), c, announce); !errors.Is(err, pastry.ErrClosed) {
			t.Errorf("after Close, announce %t: got %v, want ErrClosed", announce, err)
		}
	}
	checkFound(t, n, c, nil)
}

// A context that has ended stores nothing, here or elsewhere.
func TestProvideCancelled(t *testing.T) {
	nodes := pastry.LoopbackRing(t, 2)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c := pastry.ContentCID(t, "content")
	for _, announce := range []bool{true, false} {
		if err := nodes[0].Provide(ctx, c, announce); !errors.Is(err, context.Canceled) {
			t.Errorf("announce %t: got %v, want %v", announce, err, context.Canceled)
		}
	}
	for _, n := range nodes {
		checkFound(t, n, c, nil)
	}
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
