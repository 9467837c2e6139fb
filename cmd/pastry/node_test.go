package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/ring"
)

// patience is how long a test waits for a node.
const patience = 30 * time.Second

// runningNode is a node command under way.
type runningNode struct {
	out, log *output
	peer     peer.ID
	addr     string // the first of its addresses
	stop     func() int
}

// startNode runs the node command until it has joined.
func startNode(t *testing.T, args ...string) *runningNode {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	n := &runningNode{out: newOutput(), log: newOutput()}
	ended := make(chan struct{})
	status := -1
	go func() {
		defer close(ended)
		status = run(ctx, append([]string{"node"}, args...), strings.NewReader(""), n.out, n.log)
	}()
	n.stop = func() int { cancel(); <-ended; return status }
	t.Cleanup(func() { n.stop() })
	id, err := peer.Decode(n.line(t, "peer "))
	if err != nil {
		t.Fatal(err)
	}
	n.peer, n.addr = id, n.line(t, "address ")
	if took := n.line(t, "joined in "); !strings.HasSuffix(took, " ms") {
		t.Fatalf("joined in %q, want milliseconds", took)
	}
	return n
}

func (n *runningNode) line(t *testing.T, prefix string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	return awaitLine(t, ctx, n.out, n.log, prefix)
}

// awaitLine waits for a line that a node prints.
func awaitLine(t *testing.T, ctx context.Context, out, log *output, prefix string) string {
	t.Helper()
	line, ok := out.line(ctx, prefix)
	if !ok {
		printed, _ := out.state()
		logged, _ := log.state()
		t.Fatalf("no line %q in time; the node printed\n%s%s", prefix, printed, logged)
	}
	return line
}

// Two nodes find each other, and the other commands talk to either.
func TestNodeRouteInfo(t *testing.T) {
	dir := shortTempDir(t)
	t.Setenv("XDG_RUNTIME_DIR", dir)
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte("open sesame, please\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	shared := []string{"-passphrase-file", secret, "-prefix", "/test", "-mode", "server"}
	a := startNode(t, append(shared, "-region", "north", "-metrics", ":0")...)
	b := startNode(t, append(shared, "-region", "south", "-join", a.addr, "-control", dir+"/b.sock")...)

	checkRoutes(t, a, b, dir)
	checkInfo(t, a, b)
	checkMetrics(t, a.line(t, "metrics "))
	if got := b.stop(); got != 0 {
		t.Errorf("the node ended with status %d", got)
	}
	if got := a.stop(); got != 0 {
		t.Errorf("the node ended with status %d", got)
	}
	if left, _ := filepath.Glob(dir + "/pastry/*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// checkRoutes routes to each node's own id, from a, and from b by its socket.
func checkRoutes(t *testing.T, a, b *runningNode, dir string) {
	t.Helper()
	tests := []struct {
		name       string
		to, from   *runningNode
		wantHops   int
		wantRegion string
		args       []string
	}{
		{"to oneself", a, a, 0, "north", nil},
		{"to the other", b, a, 1, "south", nil},
		{"from the other", a, b, 1, "north", []string{"-control", dir + "/b.sock"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			key := ring.FromPeer(tt.to.peer)
			var got routeReply
			out := mustRun(t, append([]string{"route", "-json", "-id", key.String(), "a payload"}, tt.args...)...)
			if err := json.Unmarshal([]byte(out), &got); err != nil {
				t.Fatalf("%v in %s", err, out)
			}
			want := presence{Peer: tt.to.peer, ID: key, Region: tt.wantRegion, Origin: tt.from.peer, Payload: "a payload"}
			if got.Root != tt.to.peer || got.Key != key || got.Hops != tt.wantHops || len(got.Path) != max(tt.wantHops, 1) || got.Reply != want {
				t.Errorf("got %+v, want root %s in %d hops and reply %+v", got, tt.to.peer, tt.wantHops, want)
			}
		})
	}
	if got := mustRun(t, "route", "-id", ring.FromPeer(b.peer).String(), "-nearest", "2"); !strings.Contains(got, "nearest of 2  "+a.peer.String()) || !strings.Contains(got, "hops          0") {
		t.Errorf("of two nodes the nearest to the first is itself, got\n%s", got)
	}
	if got := mustRun(t, "route", "hello", "a payload"); !strings.Contains(got, `"a payload"`) || !strings.Contains(got, "round trip") {
		t.Errorf("got\n%s", got)
	}
}

func checkInfo(t *testing.T, a, b *runningNode) {
	t.Helper()
	var info pastry.Info
	if err := json.Unmarshal([]byte(mustRun(t, "info", "-json")), &info); err != nil {
		t.Fatal(err)
	}
	if info.Peer != a.peer || len(info.Smaller) != 1 || info.Smaller[0].Peer != b.peer {
		t.Errorf("got %+v, want %s with leaf %s", info, a.peer, b.peer)
	}
	out := mustRun(t, "info")
	for _, want := range []string{a.addr, "leaf set, 1 smaller and 1 larger", "routing table", "neighborhood set", b.peer.String()} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

func checkMetrics(t *testing.T, url string) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(b), "libp2p_pastry_active 1") {
		t.Errorf("the metrics do not say that the node is active:\n%s", b)
	}
}

// A node that cannot join says so, and can be interrupted.
func TestNodeWithoutMember(t *testing.T) {
	id, err := peer.Decode("12D3KooWJ5wRTJtXrLsH8HaFgLTt4rrzwRWqKnPgZNdrX2tVbHJ4")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out, ended := newOutput(), make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{"node", "-control", shortTempDir(t) + "/s", "-join", "/ip4/127.0.0.1/tcp/1/p2p/" + id.String()}, strings.NewReader(""), out, io.Discard)
	}()
	if _, ok := out.line(ctx, "control "); !ok {
		t.Fatal("the node printed no control socket")
	}
	cancel()
	if got := <-ended; got != 0 {
		t.Errorf("an interrupted node ended with status %d", got)
	}
}

// The node's errors say what is in the way.
func TestNodeErrors(t *testing.T) {
	dir := shortTempDir(t)
	file, open, taken := dir+"/file", dir+"/open", dir+"/taken"
	for path, perm := range map[string]os.FileMode{file: 0o600, open: 0o644} {
		if err := os.WriteFile(path, []byte("something"), perm); err != nil {
			t.Fatal(err)
		}
	}
	l, err := net.Listen("unix", taken)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	tests := []struct{ name, args, want string }{
		{"key of another kind", "-key " + file, "holds no private key"},
		{"key that others may read", "-key " + open, "chmod 600"},
		{"control at a file", "-control " + file, "no socket"},
		{"control taken", "-control " + taken, "another node listens there"},
		{"control path too long", "-control " + dir + "/" + strings.Repeat("x", 200), "at most 90 bytes"},
		{"metrics without port", "-metrics here -control " + dir + "/s", "give an address such as"},
		{"metrics at no host", "-metrics 192.0.2.1:0 -control " + dir + "/s", "choose a free port"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if runtime.GOOS == "windows" && tt.want == "chmod 600" {
				t.Skip("no such permissions")
			}
			status, _, stderr := pastryCommand(t, append([]string{"node"}, strings.Fields(tt.args)...)...)
			if status != 1 || !strings.Contains(stderr, tt.want) {
				t.Errorf("got status %d and %q, want 1 and %q", status, stderr, tt.want)
			}
		})
	}
}

// A key is made once, for this user alone, and kept.
func TestIdentity(t *testing.T) {
	c := nodeConfig{key: shortTempDir(t) + "/key"}
	first, err := c.identity()
	if err != nil {
		t.Fatal(err)
	}
	second, err := c.identity()
	if err != nil {
		t.Fatal(err)
	}
	if !first.Equals(second) {
		t.Error("the key has changed")
	}
	info, err := os.Stat(c.key)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); runtime.GOOS != "windows" && got != 0o600 {
		t.Errorf("the key's mode is %o, want 600", got)
	}
}

// A socket left by a crashed node is replaced, and is closed to other users.
func TestStaleSocket(t *testing.T) {
	dir := shortTempDir(t)
	path := dir + "/s"
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	s, err := listenControl(nil, path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.remove()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); runtime.GOOS != "windows" && got != 0o600 {
		t.Errorf("the socket's mode is %o, want 600", got)
	}
	if left, _ := filepath.Glob(dir + "/.s*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if got := runningSockets(dir); len(got) != 0 {
		t.Errorf("got %v, want only names that end in .sock", got)
	}
}

// The error for a missing node names those that run.
func TestNoNodeNamesOthers(t *testing.T) {
	dir := shortTempDir(t)
	l, err := net.Listen("unix", dir+"/other.sock")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	got := noNode(filepath.Join(dir, defaultSocket), errors.New("nobody")).Error()
	if !strings.Contains(got, dir+"/other.sock") {
		t.Errorf("got %q, want it to name the other socket", got)
	}
}

// The default name goes to the node started last and, when that ends, to another.
func TestDefaultSocket(t *testing.T) {
	dir := shortTempDir(t)
	t.Setenv("XDG_RUNTIME_DIR", dir)
	link := filepath.Join(dir, "pastry", defaultSocket)
	check := func(want string) {
		t.Helper()
		if got, _ := os.Readlink(link); got != want {
			t.Errorf("the default leads to %q, want %q", got, want)
		}
	}
	c := testCluster(t, 2)
	first, err := listenControl(c.members[0].node, "")
	if err != nil {
		t.Fatal(err)
	}
	check(filepath.Base(first.path))
	second, err := listenControl(c.members[1].node, "")
	if err != nil {
		t.Fatal(err)
	}
	check(filepath.Base(second.path))
	second.remove()
	check(filepath.Base(first.path))
	first.remove()
	check("")
}
