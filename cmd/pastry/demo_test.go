package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/secondbit/pastry"
)

// demoDir makes a directory with three files to announce and some to pass over.
func demoDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{"a": "first", "sub/b": "second", "sub/empty": "",
		"sub/large": strings.Repeat("x", 2000), ".git/HEAD": "ref"} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("a", filepath.Join(dir, "link")); err != nil {
		t.Log(err)
	}
	return dir
}

// smallDemo is a demo for two cores and little time.
func smallDemo(t *testing.T, more ...string) (status int, s summary, stderr string) {
	t.Helper()
	args := append([]string{"demo", "-json", "-nodes", "8", "-messages", "50", "-kill", "2", "-finders", "2", "-seed", "1",
		"-heartbeat", "500ms", "-max-size", "1000", "-dir", demoDir(t)}, more...)
	status, stdout, stderr := pastryCommand(t, args...)
	d := json.NewDecoder(strings.NewReader(stdout))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		t.Fatalf("%v in %q; standard error:\n%s", err, stdout, stderr)
	}
	if _, err := d.Token(); err != io.EOF {
		t.Errorf("more than one JSON object on standard output: %q", stdout)
	}
	return status, s, stderr
}

func TestDemo(t *testing.T) {
	status, got, stderr := smallDemo(t)
	if status != 0 {
		t.Errorf("exit status %d, want 0", status)
	}
	want := summary{Nodes: 8, Joined: 8, Routed: 50, DeliveredAtRoot: 50, Provided: 3, Found: 3, Killed: 2,
		RoutedAfter: 50, DeliveredAfter: 50, FoundAfter: 3, DeliveredAtOnce: 50, DeliveredRepaired: 50,
		FoundAtOnce: 3, FoundRepaired: 3, Files: 3, FilesSkipped: 1, Bytes: 11, Finders: 2, Seed: 1, Errors: []string{}}
	if diff := cmp.Diff(counts(got), counts(want)); diff != "" {
		t.Errorf("got(-) want(+):\n%s\n%s", diff, stderr)
	}
	if got.MeanHops <= 0 || got.JoinMax < got.JoinP50 || got.JoinMax <= 0 || got.Exact < got.Detected || got.Exact <= 0 {
		t.Errorf("figures that cannot be: %+v", got)
	}
	for _, want := range []string{"start", "join", "route", "provide", "find", "at_once", "repair", "repaired", "close"} {
		if _, ok := got.Seconds[want]; !ok {
			t.Errorf("no seconds for the step %q", want)
		}
	}
	if !strings.Contains(stderr, "-max-size raises the limit") {
		t.Errorf("no warning of the large file in\n%s", stderr)
	}
}

// counts leaves of a summary what does not depend on time.
func counts(s summary) summary {
	s.MeanHops, s.MeanHopsAtOnce, s.MeanHopsRepaired = 0, 0, 0
	s.JoinP50, s.JoinMax, s.Detected, s.Exact = 0, 0, 0, 0
	s.Messages, s.Lookups, s.Seconds, s.Version, s.FilesOfKilled = nil, nil, nil, "", 0
	return s
}

// What is lost shows in the numbers, in the errors and in the exit status.
func TestDemoLost(t *testing.T) {
	status, got, stderr := smallDemo(t, "-message-timeout", "1ns", "-file-timeout", "1ns", "-repair-timeout", "1ns")
	if status != 1 {
		t.Errorf("exit status %d, want 1", status)
	}
	if got.Routed != 50 || got.DeliveredAtRoot != 0 || got.DeliveredAfter != 0 || got.Provided != 0 || got.Found != 0 {
		t.Errorf("got %+v, want nothing delivered or announced", got)
	}
	if got.Lost < 153 || len(got.Errors) != maxFaults {
		t.Errorf("got %d faults and %d errors, want at least 153 and %d", got.Lost, len(got.Errors), maxFaults)
	}
	for _, want := range []string{"-seed 1 tries the same again", "deadline exceeded", "more"} {
		if !strings.Contains(stderr, want) {
			t.Errorf("no %q in\n%s", want, stderr)
		}
	}
}

func TestDemoTable(t *testing.T) {
	out := mustRun(t, "demo", "-nodes", "3", "-messages", "5", "-kill", "0", "-finders", "1", "-dir", demoDir(t))
	for _, want := range []string{"before the kill", "5 of 5", "4 of 4", "3 of 3 hosts joined"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

// An interrupted demo closes everything, which goleak checks, and says so.
func TestDemoInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stderr := newOutput()
	var stdout bytes.Buffer
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{"demo", "-nodes", "4", "-kill", "0", "-messages", "20000", "-dir", demoDir(t)}, strings.NewReader(""), &stdout, stderr)
	}()
	if _, ok := stderr.line(ctx, "join "); !ok {
		t.Fatal("the hosts did not join")
	}
	cancel()
	if got := <-ended; got != 1 {
		t.Errorf("exit status %d, want 1", got)
	}
	if got, _ := stderr.state(); !strings.Contains(got, "interrupted") {
		t.Errorf("got %q, want it to say interrupted", got)
	}
	if stdout.Len() > 0 {
		t.Errorf("standard output %q, want nothing", &stdout)
	}
}

// testCluster returns members that are not running.
func testCluster(t *testing.T, n int) *cluster {
	t.Helper()
	c := new(cluster)
	for i := range n {
		m, err := newMember(1, i, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := m.close(); err != nil {
				t.Error(err)
			}
		})
		m.live = true
		c.members = append(c.members, m)
	}
	return c
}

func TestJudge(t *testing.T) {
	c := testCluster(t, 2)
	root, other := c.members[0], c.members[1]
	at := func(ms ...*member) (ps []peer.ID) {
		for _, m := range ms {
			ps = append(ps, m.host.ID())
		}
		return ps
	}
	right := pastry.Receipt{Root: root.host.ID(), Reply: []byte("x 1")}
	tests := []struct {
		name       string
		receipt    pastry.Receipt
		err        error
		deliveries []peer.ID
		want       string // in the error; empty for none
	}{
		{"as it should be", right, nil, at(root), ""},
		{"error", pastry.Receipt{}, pastry.ErrNoAnswer, at(root), "no answer in time"},
		{"receipt from another", pastry.Receipt{Root: other.host.ID(), Reply: right.Reply}, nil, at(root), "the receipt is from"},
		{"reply to another message", pastry.Receipt{Root: right.Root, Reply: []byte("x 2")}, nil, at(root), `the reply is "x 2"`},
		{"delivered nowhere", right, nil, nil, "delivered at []"},
		{"delivered elsewhere", right, nil, at(other), "delivered at"},
		{"delivered twice", right, nil, at(root, root), "delivered at"},
		{"delivered elsewhere too", right, nil, at(root, other), "delivered at"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := &message{payload: "x 1", from: other, root: root, receipt: tt.receipt, err: tt.err}
			err := m.judge(tt.deliveries)
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("got %v, want none", err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestLedger(t *testing.T) {
	l := newLedger()
	for _, payload := range []string{"c", "a", "b", "c", "a"} {
		l.record(payload, "p")
	}
	if got, want := l.duplicates(), []string{"a", "c"}; !slices.Equal(got, want) {
		t.Errorf("got duplicates %q, want %q", got, want)
	}
	if got := l.deliveries("none"); len(got) != 0 {
		t.Errorf("got deliveries %v of a message nobody sent", got)
	}
}

// The sides of a leaf set meet in a small ring, and leave the middle out of a
// larger one.
func TestLeaves(t *testing.T) {
	c := testCluster(t, 7)
	byID := c.live()
	slices.SortFunc(byID, func(a, b *member) int { return a.id.Compare(b.id) })
	for _, tt := range []struct {
		half int
		want []int // places from the first member on
	}{{1, []int{1, 6}}, {2, []int{1, 2, 5, 6}}, {3, []int{1, 2, 3, 4, 5, 6}}, {12, []int{1, 2, 3, 4, 5, 6}}} {
		want := make(map[peer.ID]bool)
		for _, i := range tt.want {
			want[byID[i].host.ID()] = true
		}
		if diff := cmp.Diff(c.leaves(byID[0], tt.half), want); diff != "" {
			t.Errorf("half %d: got(-) want(+):\n%s", tt.half, diff)
		}
	}
}

func TestPick(t *testing.T) {
	c := testCluster(t, 4)
	c.bury(c.members[:1])
	r := rand.New(rand.NewPCG(1, 1))
	got := c.pick(r, 9, c.members[1])
	if len(got) != 2 || slices.Contains(got, c.members[0]) || slices.Contains(got, c.members[1]) || got[0] == got[1] {
		t.Errorf("got %v, want the two members that are live and not excepted", got)
	}
	if got := c.pick(r, 1, nil); len(got) != 1 {
		t.Errorf("got %d members, want 1", len(got))
	}
}

// The CID of a file is the one everybody else computes.
func TestHashFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, []byte("hello world"), 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := hashFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// Base32 of 0x01551220 and the SHA-256 of the content.
	if got, want := f.cid.String(), "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"; got != want || f.size != 11 {
		t.Errorf("got %s of %d bytes, want %s of 11", got, f.size, want)
	}
}

func TestQuantile(t *testing.T) {
	times := make([]time.Duration, 100)
	for i := range times {
		times[i] = time.Duration(i + 1)
	}
	for _, tt := range []struct {
		name  string
		times []time.Duration
		q     float64
		want  time.Duration
	}{
		{"median", times, 0.5, 50}, {"99th", times, 0.99, 99}, {"greatest", times, 1, 100}, {"least", times, 0, 1},
		{"of one", times[:1], 0.5, 1}, {"of none", nil, 0.5, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := quantile(tt.times, tt.q); got != tt.want {
				t.Errorf("got %d, want %d", got, tt.want)
			}
		})
	}
}
