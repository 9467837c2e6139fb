package main

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multihash"
)

// pair starts two nodes that know the namespace app, of which commands ask the
// second one unless other says so.
func pair(t *testing.T) (first, second *runningNode, other []string) {
	t.Helper()
	dir := shortTempDir(t)
	t.Setenv("XDG_RUNTIME_DIR", dir)
	first = startNode(t, "-namespace", "app", "-mode", "server", "-control", dir+"/first.sock")
	second = startNode(t, "-namespace", "app", "-mode", "server", "-join", first.addr)
	return first, second, []string{"-control", dir + "/first.sock"}
}

// contentID returns the CID of some content.
func contentID(t *testing.T, content string) cid.Cid {
	t.Helper()
	mh, err := multihash.Sum([]byte(content), multihash.SHA2_256, -1)
	if err != nil {
		t.Fatal(err)
	}
	return cid.NewCidV1(cid.Raw, mh)
}

// What is put through one node is got through another.
func TestPutGet(t *testing.T) {
	_, _, other := pair(t)
	file := filepath.Join(t.TempDir(), "value")
	large := strings.Repeat("\x00\xff", maxPlainValue/2)
	if err := os.WriteFile(file, []byte(large), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name  string
		args  []string // of put, after the key
		stdin string
		want  string
	}{
		{"argument", []string{"hello, world"}, "", "hello, world"},
		{"empty", []string{""}, "", ""},
		{"standard input", []string{"-"}, "from\nafar\n", "from\nafar\n"},
		{"standard input as a file", []string{"-file", "-"}, "a file", "a file"},
		{"file of the largest size", []string{"-file", file}, "", large},
		{"with a dash", []string{"--", "-5"}, "", "-5"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			key := "/app/" + tt.name
			status, out, errs := pastryInput(t, tt.stdin, append([]string{"put", key}, tt.args...)...)
			if status != 0 || !strings.Contains(out, "under "+key) {
				t.Fatalf("put: status %d, %s%s", status, out, errs)
			}
			if got := mustRun(t, append([]string{"get", key}, other...)...); got != tt.want {
				t.Errorf("got %.40q, want %.40q", got, tt.want)
			}
			if got := mustRun(t, "get", key, "-quorum", "0"); got != tt.want {
				t.Errorf("from all: got %.40q, want %.40q", got, tt.want)
			}
		})
	}
}

// Of several puts the last wins, whichever node they went through, also one that
// follows a put at the same time.
func TestLastPutWins(t *testing.T) {
	_, _, other := pair(t)
	var last putReply
	for i, value := range []string{"b", "a", "c", "c", "a"} {
		var through []string
		if i%2 == 0 {
			through = other
		}
		var put putReply
		out := mustRun(t, append([]string{"put", "/app/x", value, "-json"}, through...)...)
		if err := json.Unmarshal([]byte(out), &put); err != nil {
			t.Fatal(err)
		}
		if last.Put != nil && !put.Put.After(*last.Put) {
			t.Errorf("put at %v, after one at %v", put.Put, last.Put)
		}
		last = put
		for _, from := range [][]string{nil, other} {
			var got getReply
			out := mustRun(t, append([]string{"get", "/app/x", "-json"}, from...)...)
			if err := json.Unmarshal([]byte(out), &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(got, getReply{putReply: put, Value: []byte(value)}, cmp.AllowUnexported(getReply{})); diff != "" {
				t.Errorf("got(-) want(+):\n%s", diff)
			}
		}
	}
}

// A public key is a value without a namespace of its own.
func TestPutPublicKey(t *testing.T) {
	first, _, other := pair(t)
	public, err := first.peer.ExtractPublicKey()
	if err != nil {
		t.Fatal(err)
	}
	b, err := crypto.MarshalPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	key := "/pk/" + first.peer.String()
	if status, _, errs := pastryInput(t, string(b), "put", key, "-"); status != 0 {
		t.Fatal(errs)
	}
	if got := mustRun(t, append([]string{"get", key}, other...)...); got != string(b) {
		t.Errorf("got %x, want %x", got, b)
	}
}

// What is not there, and what cannot be, is said so, with exit status 1.
func TestRecordErrors(t *testing.T) {
	dir := shortTempDir(t)
	t.Setenv("XDG_RUNTIME_DIR", dir)
	startNode(t, "-namespace", "app", "-mode", "server")
	const stranger = "12D3KooWJ5wRTJtXrLsH8HaFgLTt4rrzwRWqKnPgZNdrX2tVbHJ4"
	nothing := contentID(t, "nothing").String()
	tests := []struct{ name, args, stdin, want string }{
		{"no value", "get /app/none", "", "nothing is stored under /app/none"},
		{"no IPNS record", "get /ipns/" + stranger, "", "nothing is stored under /ipns/" + stranger},
		{"unknown namespace", "get /other/x", "", "must begin with /pk/ or /ipns/ or /app/; or start the node, and the others, with -namespace other"},
		{"put to an unknown namespace", "put /other/x y", "", `no validator for the namespace "other"`},
		{"too large", "put /app/x -", strings.Repeat("x", maxPlainValue+1), "at most 65536 can be put"},
		{"much too large", "put /app/x -", strings.Repeat("x", maxControlBody), "too much"},
		{"not signed", "put /ipns/" + stranger + " hello", "", "only what its owner has signed"},
		{"no providers", "findprovs " + nothing, "", "nobody is known to provide " + nothing},
		{"no providers, as JSON", "findprovs -json " + nothing, "", "nobody is known to provide " + nothing},
		{"no peer", "findpeer " + stranger, "", "nobody in the ring knows addresses of " + stranger},
		{"a line that is no CID", "provide -stdin", nothing + "\n\nhello\n", `line 3: "hello" is no CID`},
		{"no time", "get /app/none -timeout 1ns", "", "no answer within 1ns, which -timeout sets"},
		{"no time to find", "findprovs -timeout 1ns " + nothing, "", "no answer within 1ns, which -timeout sets"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			status, stdout, stderr := pastryInput(t, tt.stdin, strings.Fields(tt.args)...)
			if status != 1 || stdout != "" || !strings.Contains(stderr, tt.want) {
				t.Errorf("got status %d, %q and %q, want 1, nothing and %q", status, stdout, stderr, tt.want)
			}
		})
	}
}

// A node that has not joined says that it cannot, at once.
func TestRecordsBeforeJoin(t *testing.T) {
	dir := shortTempDir(t)
	ctx, cancel := context.WithCancel(t.Context())
	out, ended := newOutput(), make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{"node", "-namespace", "app", "-control", dir + "/s", "-join",
			"/ip4/127.0.0.1/tcp/1/p2p/12D3KooWJ5wRTJtXrLsH8HaFgLTt4rrzwRWqKnPgZNdrX2tVbHJ4"}, strings.NewReader(""), out, io.Discard)
	}()
	defer func() { cancel(); <-ended }()
	if _, ok := out.line(ctx, "control "); !ok {
		t.Fatal("the node printed no control socket")
	}
	content := contentID(t, "x").String()
	for _, args := range []string{"provide " + content, "provide -keep " + content, "findprovs " + content} {
		status, _, stderr := pastryCommand(t, append(strings.Fields(args), "-control", dir+"/s")...)
		if status != 1 || !strings.Contains(stderr, "has not joined a ring yet") {
			t.Errorf("%s: got status %d and %q", args, status, stderr)
		}
	}
}

// What one node provides, as files, CIDs or a list of them, the other finds.
func TestProvideFind(t *testing.T) {
	first, second, other := pair(t)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("of a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	var list strings.Builder
	for _, s := range []string{"one", "two", "three", "two"} {
		list.WriteString(contentID(t, s).String() + "\r\n\n")
	}
	tests := []struct {
		name, stdin string
		args        []string
		want        []cid.Cid
	}{
		{"CID and file", "", []string{contentID(t, "a").String(), file}, []cid.Cid{contentID(t, "a"), contentID(t, "of a file")}},
		{"list", list.String(), []string{"-stdin"}, []cid.Cid{contentID(t, "one"), contentID(t, "two"), contentID(t, "three")}},
		{"kept", "", []string{"-keep", contentID(t, "kept").String()}, []cid.Cid{contentID(t, "kept")}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			status, out, errs := pastryInput(t, tt.stdin, append([]string{"provide", "-json"}, tt.args...)...)
			var s provideSummary
			if err := json.Unmarshal([]byte(out), &s); status != 0 || err != nil {
				t.Fatalf("status %d, %v: %s", status, err, errs)
			}
			if s.Provided != len(tt.want) || s.Kept != slices.Contains(tt.args, "-keep") {
				t.Errorf("got %+v, want %d contents", s, len(tt.want))
			}
			for _, c := range tt.want {
				var p provider
				if err := json.Unmarshal([]byte(mustRun(t, append([]string{"findprovs", "-json", c.String()}, other...)...)), &p); err != nil {
					t.Fatal(err)
				}
				if p.Peer != second.peer || len(p.Addrs) == 0 {
					t.Errorf("got %+v, want %s with its addresses", p, second.peer)
				}
			}
		})
	}
	if got := mustRun(t, "provide", "-stop", contentID(t, "kept").String()); !strings.Contains(got, "stopped announcing 1 content") {
		t.Errorf("got %q", got)
	}
	checkProviders(t, append([]string{contentID(t, "a").String()}, other...), first, second)
}

// checkProviders lets the first node provide what the second does, and looks at
// both.
func checkProviders(t *testing.T, args []string, first, second *runningNode) {
	t.Helper()
	if got := mustRun(t, append([]string{"provide"}, args...)...); !strings.Contains(got, args[0]) || !strings.Contains(got, "announced 1 content in") {
		t.Errorf("got %q", got)
	}
	out := mustRun(t, append([]string{"findprovs"}, args...)...)
	for _, p := range []peer.ID{first.peer, second.peer} {
		if !strings.Contains(out, p.String()+"\n  /ip4/127.0.0.1/") {
			t.Errorf("no %s with its addresses in\n%s", p, out)
		}
	}
	if got := strings.Count(mustRun(t, append([]string{"findprovs", "-json", "-n", "1"}, args...)...), "\n"); got != 1 {
		t.Errorf("got %d lines for one provider", got)
	}
}

func TestFindPeer(t *testing.T) {
	first, second, _ := pair(t)
	for _, id := range []peer.ID{first.peer, second.peer} {
		if got := mustRun(t, "findpeer", id.String()); !strings.HasPrefix(got, id.String()+"\n  /ip4/") {
			t.Errorf("got %q", got)
		}
		var p provider
		if err := json.Unmarshal([]byte(mustRun(t, "findpeer", "-json", peer.ToCid(id).String())), &p); err != nil {
			t.Fatal(err)
		}
		if p.Peer != id || len(p.Addrs) != 2 {
			t.Errorf("got %+v, want two addresses of %s", p, id)
		}
	}
}
