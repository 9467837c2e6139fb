package main

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	ma "github.com/multiformats/go-multiaddr"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/secondbit/pastry"
)

// A node with a store is the same after a restart: its key, its ports, its ring and
// its records.
func TestStore(t *testing.T) {
	dir := shortTempDir(t)
	t.Setenv("XDG_RUNTIME_DIR", dir)
	args := []string{"-store", dir + "/store", "-namespace", "app", "-mode", "server"}
	first := startNode(t, args...)
	mustRun(t, "put", "/app/x", "hello")
	if status, _, stderr := pastryCommand(t, append([]string{"node"}, args...)...); status != 1 || !strings.Contains(stderr, "another process has it open") {
		t.Errorf("a second node on the store: got status %d and %q", status, stderr)
	}
	info, err := os.Stat(filepath.Join(dir, "store"))
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); runtime.GOOS != "windows" && got != 0o700 {
		t.Errorf("the directory's mode is %o, want 700", got)
	}
	if got := first.stop(); got != 0 {
		t.Fatalf("the node ended with status %d", got)
	}

	second := startNode(t, args...)
	if second.peer != first.peer || second.addr != first.addr {
		t.Errorf("got %s at %s, want %s at %s as before", second.peer, second.addr, first.peer, first.addr)
	}
	if got := mustRun(t, "get", "/app/x"); got != "hello" {
		t.Errorf("got %q", got)
	}
}

// A node whose ports are taken finds others.
func TestPortsTaken(t *testing.T) {
	dir := shortTempDir(t)
	build := func() (*running, *ma.Multiaddr) {
		c := nodeConfig{store: dir + "/store"}
		r, err := c.build(t.Context(), prometheus.NewRegistry())
		if err != nil {
			t.Fatal(err)
		}
		addrs := r.host.Network().ListenAddresses()
		at := slices.IndexFunc(addrs, func(a ma.Multiaddr) bool { _, err := a.ValueForProtocol(ma.P_TCP); return err == nil })
		if at < 0 {
			t.Fatalf("listens at %v", addrs)
		}
		return r, &addrs[at]
	}
	first, before := build()
	if err := first.close(); err != nil {
		t.Fatal(err)
	}
	port, err := before.ValueForProtocol(ma.P_TCP)
	if err != nil {
		t.Fatal(err)
	}
	// If this fails, somebody else listens there already, which serves as well.
	if l, err := net.Listen("tcp", "127.0.0.1:"+port); err == nil {
		defer l.Close()
	}
	second, after := build()
	defer second.close()
	if after.Equal(*before) {
		t.Errorf("listens at %s, where somebody else does", after)
	}
}

// A store that cannot be opened stops the node, and leaves nothing behind.
func TestStoreErrors(t *testing.T) {
	dir := shortTempDir(t)
	file := dir + "/file"
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir+"/keyed", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/keyed/key", []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct{ name, args, want string }{
		{"a file", "-store " + file, "-store"},
		{"with something else for a key", "-store " + dir + "/keyed", "holds no private key"},
		{"no private network", "-store " + dir + "/new -psk " + file, "three lines"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			status, _, stderr := pastryCommand(t, append([]string{"node", "-control", dir + "/s"}, strings.Fields(tt.args)...)...)
			if status != 1 || !strings.Contains(stderr, tt.want) {
				t.Errorf("got status %d and %q, want 1 and %q", status, stderr, tt.want)
			}
		})
	}
	store, err := openStore(dir + "/keyed")
	if err != nil {
		t.Fatal(err) // it was left open
	}
	if err := store.Close(); err != nil {
		t.Error(err)
	}
}

// Nodes with the same key of a private network meet; others do not get in.
func TestPrivateNetwork(t *testing.T) {
	dir := shortTempDir(t)
	t.Setenv("XDG_RUNTIME_DIR", dir)
	psk := filepath.Join(dir, "swarm.key")
	if err := os.WriteFile(psk, []byte("/key/swarm/psk/1.0.0/\n/base16/\n"+strings.Repeat("5a", 32)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"-psk", psk, "-lan", "-listen", "/ip4/127.0.0.1/tcp/0"}
	first := startNode(t, args...)
	second := startNode(t, append(args, "-join", first.addr)...)
	if out := mustRun(t, "findpeer", first.peer.String()); !strings.Contains(out, "/tcp/") || strings.Contains(out, "quic") {
		t.Errorf("got %q", out)
	}
	stranger, err := libp2p.New(libp2p.NoListenAddrs)
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	info, err := peer.AddrInfoFromString(second.addr)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := stranger.Connect(ctx, *info); err == nil {
		t.Error("a host without the key is connected")
	}
}

// What -lan and -psk change, unless other flags say otherwise.
func TestDefaults(t *testing.T) {
	tests := []struct {
		name   string
		config nodeConfig
		listen []string
		speaks protocol.ID
	}{
		{"nothing", nodeConfig{}, []string{"/ip4/127.0.0.1/tcp/1", "/ip4/127.0.0.1/udp/2/quic-v1"}, "/pastry/1.0.0"},
		{"LAN", nodeConfig{lan: true}, []string{"/ip4/0.0.0.0/tcp/1", "/ip4/0.0.0.0/udp/2/quic-v1"}, "/lan/pastry/1.0.0"},
		{"LAN with a prefix", nodeConfig{lan: true, prefix: "/x"}, []string{"/ip4/0.0.0.0/tcp/1", "/ip4/0.0.0.0/udp/2/quic-v1"}, "/x/pastry/1.0.0"},
		{"private", nodeConfig{psk: "file"}, []string{"/ip4/127.0.0.1/tcp/1"}, "/pastry/1.0.0"},
		{"private LAN", nodeConfig{psk: "file", lan: true}, []string{"/ip4/0.0.0.0/tcp/1"}, "/lan/pastry/1.0.0"},
		{"told", nodeConfig{listen: []string{"/ip4/127.0.0.2/tcp/3"}, lan: true}, []string{"/ip4/127.0.0.2/tcp/3"}, "/lan/pastry/1.0.0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.config.listenAddrs(ports{TCP: 1, UDP: 2}); !slices.Equal(got, tt.listen) {
				t.Errorf("listens at %v, want %v", got, tt.listen)
			}
			opts, err := tt.config.options()
			if err != nil {
				t.Fatal(err)
			}
			h, err := libp2p.New(libp2p.NoListenAddrs)
			if err != nil {
				t.Fatal(err)
			}
			defer h.Close()
			n, err := pastry.New(h, opts...)
			if err != nil {
				t.Fatal(err)
			}
			defer n.Close()
			if got := h.Mux().Protocols(); !slices.Contains(got, tt.speaks) {
				t.Errorf("speaks %v, want %s", got, tt.speaks)
			}
		})
	}
}
