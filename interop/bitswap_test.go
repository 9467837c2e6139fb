package interop_test

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/ipfs/boxo/bitswap"
	"github.com/ipfs/boxo/bitswap/network/bsnet"
	"github.com/ipfs/boxo/blockservice"
	"github.com/ipfs/boxo/blockstore"
	chunker "github.com/ipfs/boxo/chunker"
	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/boxo/ipld/unixfs/importer/balanced"
	"github.com/ipfs/boxo/ipld/unixfs/importer/helpers"
	uio "github.com/ipfs/boxo/ipld/unixfs/io"
	"github.com/ipfs/boxo/provider"
	"github.com/ipfs/go-cid"
	ds "github.com/ipfs/go-datastore"
	dssync "github.com/ipfs/go-datastore/sync"
	ipld "github.com/ipfs/go-ipld-format"
	"github.com/libp2p/go-libp2p/core/network"

	"github.com/secondbit/pastry"
)

// exchange is what a program that exchanges blocks has on a node.
type exchange struct {
	*pastry.Node
	blocks blockstore.Blockstore
	dag    ipld.DAGService
}

func newExchange(t *testing.T, n *pastry.Node) *exchange {
	t.Helper()
	store := blockstore.NewBlockstore(memory())
	swap := bitswap.New(t.Context(), bsnet.NewFromIpfsHost(n.Host()), n, store)
	atEnd(t, swap.Close)
	return &exchange{Node: n, blocks: store, dag: merkledag.NewDAGService(blockservice.New(store, swap))}
}

func memory() ds.Batching { return dssync.MutexWrap(ds.NewMapDatastore()) }

// content returns size bytes that follow from the seed.
func content(seed byte, size int) []byte {
	b := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(b)
	return b
}

// add imports content as a UnixFS file.
func (e *exchange) add(t *testing.T, content []byte) cid.Cid {
	t.Helper()
	params := helpers.DagBuilderParams{
		Maxlinks:   16, // so that the file has more than one level of links
		RawLeaves:  true,
		CidBuilder: merkledag.V1CidPrefix(),
		Dagserv:    e.dag,
	}
	builder, err := params.New(chunker.NewSizeSplitter(bytes.NewReader(content), 64<<10))
	must(t, err)
	root, err := balanced.Layout(builder)
	must(t, err)
	return root.Cid()
}

// read returns the content of a UnixFS file, which comes from wherever it is.
func (e *exchange) read(t *testing.T, ctx context.Context, root cid.Cid) []byte {
	t.Helper()
	session := merkledag.NewSession(ctx, e.dag)
	node, err := session.Get(ctx, root)
	must(t, err)
	file, err := uio.NewDagReader(ctx, node, session)
	must(t, err)
	defer file.Close()
	got, err := io.ReadAll(file)
	must(t, err)
	return got
}

// A file of several MiB goes from one host to another that knows it through the
// router only.
func TestBitswap(t *testing.T) {
	const size = 6<<20 + 12345
	ctx := within(t, 40*time.Second)
	peers := clients(t, ring(t, 4), 2)
	from, to := newExchange(t, peers[0]), newExchange(t, peers[1])
	want := content(1, size)
	root := from.add(t, want)
	must(t, from.Provide(ctx, root, true))
	areStrangers(t, to.Host(), from.Host())
	if got := to.read(t, ctx, root); !bytes.Equal(got, want) {
		t.Errorf("got %d bytes, want the %d of the file", len(got), len(want))
	}
	if got := to.Host().Network().Connectedness(from.Host().ID()); got != network.Connected {
		t.Errorf("after the exchange the hosts are %v, want %v", got, network.Connected)
	}
}

// The reprovider of boxo announces every block of a store.
func TestReprovider(t *testing.T) {
	ctx := within(t, 30*time.Second)
	nodes := ring(t, 4)
	e := newExchange(t, nodes[0])
	e.add(t, content(2, 1<<20))
	var announced provider.Provide = e.Node
	if _, ok := announced.(provider.ProvideMany); !ok {
		t.Error("the reprovider cannot announce many keys at once")
	}
	if _, ok := announced.(provider.Ready); !ok {
		t.Error("the reprovider cannot tell when the router is ready")
	}
	reprovider, err := provider.New(memory(), provider.Online(announced),
		provider.KeyProvider(e.blocks.AllKeysChan), provider.ReproviderInterval(24*time.Hour))
	must(t, err)
	atEnd(t, reprovider.Close)
	must(t, reprovider.Reprovide(ctx))
	keys, err := e.blocks.AllKeysChan(ctx)
	must(t, err)
	count := 0
	for key := range keys {
		count++
		if !finds(ctx, nodes[len(nodes)-1], key, e.Node) {
			t.Errorf("the provider of %s is not found", key)
		}
	}
	if count < 16 {
		t.Errorf("%d blocks, want one for each 64 KiB of 1 MiB at least", count)
	}
}

// finds reports whether one node finds another as provider.
func finds(ctx context.Context, n *pastry.Node, c cid.Cid, provider *pastry.Node) bool {
	found := false
	for info := range n.FindProvidersAsync(ctx, c, 0) {
		found = found || info.ID == provider.Host().ID()
	}
	return found
}
