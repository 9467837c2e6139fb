package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/secondbit/pastry"
)

const (
	killedNodes = 12
	putEach     = 3 // values by a node, and as many contents
	pollEvery   = 50 * time.Millisecond
)

// process is a node command in a process of its own.
type process struct {
	cmd      *exec.Cmd
	out, log *output
	dir      string // of its key and its store
	socket   string
	peer     peer.ID
}

// startProcess starts the test binary as the node command, with a directory of its
// own.
func startProcess(t *testing.T, dir string, args ...string) *process {
	t.Helper()
	p := &process{out: newOutput(), log: newOutput(), dir: dir, socket: filepath.Join(dir, "s")}
	p.cmd = exec.Command(os.Args[0], append([]string{"node", "-store", filepath.Join(dir, "store"), "-key", filepath.Join(dir, "key"),
		"-control", p.socket, "-mode", "server", "-namespace", "app"}, args...)...)
	p.cmd.Env = append(os.Environ(), asCommand+"=1")
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.cmd.Process.Kill(); _ = p.cmd.Wait() })
	return p
}

// line waits for a line that the node prints.
func (p *process) line(t *testing.T, ctx context.Context, prefix string) string {
	t.Helper()
	return awaitLine(t, ctx, p.out, p.log, prefix)
}

// run carries out a command that asks the process.
func (p *process) run(ctx context.Context, args ...string) (string, error) {
	out, log := newOutput(), newOutput()
	if status := run(ctx, append(args, "-control", p.socket), strings.NewReader(""), out, log); status != 0 {
		said, _ := log.state()
		return "", fmt.Errorf("pastry %s: %s", strings.Join(args, " "), strings.TrimSpace(said))
	}
	said, _ := out.state()
	return said, nil
}

// meets reports what is missing until the node's leaf set holds all others.
func (p *process) meets(ctx context.Context, others int) error {
	out, err := p.run(ctx, "info", "-json")
	if err != nil {
		return err
	}
	var info pastry.Info
	if err := json.Unmarshal([]byte(out), &info); err != nil {
		return err
	}
	leaves := make(map[peer.ID]bool)
	for _, c := range append(info.Smaller, info.Larger...) {
		leaves[c.Peer] = true
	}
	if len(leaves) != others {
		return fmt.Errorf("%s has %d of %d leaves", p.peer, len(leaves), others)
	}
	return nil
}

// eventually asks until there is no error, or ctx ends.
func eventually(t *testing.T, ctx context.Context, ask func() error) {
	t.Helper()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		err := ask()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("in time: %v", err)
		}
	}
}

// startProcesses starts a node in each directory and waits until each has met all
// others. All but the first join through it if join is set; otherwise none is told
// where to join.
func startProcesses(t *testing.T, ctx context.Context, dirs []string, join bool) []*process {
	t.Helper()
	var ps []*process
	var args []string
	for i, dir := range dirs {
		ps = append(ps, startProcess(t, dir, args...))
		if i == 0 && join {
			args = []string{"-join", ps[0].line(t, ctx, "address ")}
		}
	}
	for _, p := range ps {
		id, err := peer.Decode(p.line(t, ctx, "peer "))
		if err != nil {
			t.Fatal(err)
		}
		p.peer = id
		p.line(t, ctx, "joined in ")
	}
	for _, p := range ps {
		eventually(t, ctx, func() error { return p.meets(ctx, len(ps)-1) })
	}
	return ps
}

// Twelve nodes with stores, all killed at once and started again without being told
// of each other, find each other and all that was stored.
func TestKillAll(t *testing.T) {
	if testing.Short() {
		t.Skip("starts 24 processes")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	root, start := shortTempDir(t), time.Now()
	var dirs []string
	for i := range killedNodes {
		dirs = append(dirs, filepath.Join(root, fmt.Sprint(i)))
		if err := os.Mkdir(dirs[i], 0o700); err != nil {
			t.Fatal(err)
		}
	}
	ps := startProcesses(t, ctx, dirs, true)
	t.Logf("%v: %d nodes have met", time.Since(start), len(ps))
	for i, p := range ps {
		store(t, ctx, i, p)
	}
	t.Logf("%v: %d values and %d announcements are stored", time.Since(start), putEach*len(ps), putEach*len(ps))

	killAll(t, ps)
	ps = startProcesses(t, ctx, dirs, false)
	t.Logf("%v: all were killed, and have met again", time.Since(start))
	for i := range ps {
		find(t, ctx, ps, i)
	}
	t.Logf("%v: all is found", time.Since(start))
}

// killAll kills all at once, and waits until they are dead.
func killAll(t *testing.T, ps []*process) {
	t.Helper()
	for _, p := range ps {
		if err := p.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range ps {
		var ended *exec.ExitError
		if err := p.cmd.Wait(); !errors.As(err, &ended) || ended.Exited() {
			t.Errorf("%s was not killed: %v", p.peer, err)
		}
	}
}

// key and content name what node i stores.
func key(i, j int) string     { return fmt.Sprintf("/app/%d/%d", i, j) }
func content(i, j int) string { return fmt.Sprintf("content %d of node %d", j, i) }

// store puts values and announces contents through node i.
func store(t *testing.T, ctx context.Context, i int, p *process) {
	t.Helper()
	provide := []string{"provide"}
	for j := range putEach {
		if _, err := p.run(ctx, "put", key(i, j), content(i, j)); err != nil {
			t.Fatal(err)
		}
		provide = append(provide, contentID(t, content(i, j)).String())
	}
	if _, err := p.run(ctx, provide...); err != nil {
		t.Fatal(err)
	}
}

// find looks through other nodes for what node i has stored, and for the node.
func find(t *testing.T, ctx context.Context, ps []*process, i int) {
	t.Helper()
	for j := range putEach {
		other := ps[(i+1+j*4)%len(ps)]
		eventually(t, ctx, func() error {
			got, err := other.run(ctx, "get", key(i, j))
			if err == nil && got != content(i, j) {
				err = fmt.Errorf("got %q under %s", got, key(i, j))
			}
			return err
		})
		eventually(t, ctx, func() error {
			got, err := other.run(ctx, "findprovs", contentID(t, content(i, j)).String())
			if err == nil && !strings.Contains(got, ps[i].peer.String()) {
				err = fmt.Errorf("no %s among the providers\n%s", ps[i].peer, got)
			}
			return err
		})
	}
	eventually(t, ctx, func() error {
		_, err := ps[(i+1)%len(ps)].run(ctx, "findpeer", ps[i].peer.String())
		return err
	})
}
