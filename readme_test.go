package pastry_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/routing"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/ring"
)

type welcome struct{}

func (welcome) Deliver(_ context.Context, m *pastry.Message) ([]byte, error) {
	return append([]byte("hello, "), m.Payload...), nil
}

func (welcome) Forward(context.Context, *pastry.Message, peer.ID) bool { return true }

func start(ctx context.Context, h host.Host, members ...peer.AddrInfo) (*pastry.Node, error) {
	node, err := pastry.New(h)
	if err != nil {
		return nil, err
	}
	if err := node.Register("welcome", welcome{}); err != nil {
		return nil, err
	}
	return node, node.Join(ctx, members...) // without members: the first of a ring
}

func greet(ctx context.Context, node *pastry.Node) (string, error) {
	receipt, err := node.Route(ctx, "welcome", ring.FromKey([]byte("some key")), []byte("world"))
	return string(receipt.Reply), err // receipt.Root says who answered, receipt.Hops how far away
}

func Example_readme() {
	ctx := context.Background()
	var members []peer.AddrInfo
	for range 3 {
		h, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"))
		if err != nil {
			fmt.Println(err)
			return
		}
		defer h.Close()
		node, err := start(ctx, h, members...)
		if err != nil {
			fmt.Println(err)
			return
		}
		defer node.Close()
		members = append(members, *host.InfoFromHost(h))
		fmt.Println(greet(ctx, node))
	}
	// Output:
	// hello, world <nil>
	// hello, world <nil>
	// hello, world <nil>
}

func routedHost(ctx context.Context, members ...peer.AddrInfo) (h host.Host, router *pastry.Node, err error) {
	h, err = libp2p.New(libp2p.Routing(func(h host.Host) (routing.PeerRouting, error) {
		router, err = pastry.New(h, pastry.WithBootstrapPeers(members...))
		return router, err
	}), libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"))
	if err != nil {
		return nil, nil, err
	}
	return h, router, router.Join(ctx)
}

func Example_routing() {
	ctx := context.Background()
	var members []peer.AddrInfo
	var last host.Host
	for range 3 {
		h, router, err := routedHost(ctx, members...)
		if err != nil {
			fmt.Println(err)
			return
		}
		defer h.Close()
		defer router.Close()
		members = append(members, *host.InfoFromHost(h))
		last = h
	}
	// By peer ID alone: for strangers the host asks its router for the addresses.
	for _, m := range members[:2] {
		last.Peerstore().ClearAddrs(m.ID)
		fmt.Println(last.Connect(ctx, peer.AddrInfo{ID: m.ID}))
	}
	// Output:
	// <nil>
	// <nil>
}

// TestReadme keeps the README's examples the ones that run here.
func TestReadme(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("readme_test.go")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(readme), "```go\n")[1:]
	if len(blocks) < 3 {
		t.Fatalf("README.md has %d pieces of Go, want 3 or more", len(blocks))
	}
	for _, b := range blocks {
		code, _, _ := strings.Cut(b, "```")
		if code = strings.TrimSpace(code); !strings.HasPrefix(code, "import ") && !strings.Contains(string(source), code) {
			t.Errorf("the example in README.md is not in readme_test.go:\n%s", code)
		}
	}
}

// Rows of a table are one line each, with as many cells as its head has.
func TestTables(t *testing.T) {
	docs, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(docs, "README.md", "docs/figures/README.md") {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		cells, code := 0, false // of the table that the line before was in
		for i, line := range strings.Split(string(text), "\n") {
			if strings.HasPrefix(line, "```") {
				code = !code
			}
			if code || !strings.HasPrefix(line, "|") && cells == 0 {
				continue
			}
			if line == "" {
				cells = 0
				continue
			}
			n := strings.Count(strings.ReplaceAll(line, `\|`, ""), "|") - 1
			if cells == 0 {
				cells = n
			}
			if !strings.HasPrefix(line, "|") || !strings.HasSuffix(line, "|") || n != cells {
				t.Errorf("%s:%d: a row of %d cells in a table of %d: %s", name, i+1, n, cells, line)
			}
		}
	}
}
