package records

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	leveldb "github.com/ipfs/go-ds-leveldb"
)

// crashEnv names the directory of the store that a child process puts records
// into.
const crashEnv = "PASTRY_RECORDS_CRASH"

// crashLine is what the child says once a record is acknowledged.
func crashLine(r *Record) string {
	return fmt.Sprintf("%x %x %d", r.ID().Key.Bytes(), r.ID().Rest, r.Version)
}

// putUntilKilled puts records of all types, new ones and replacements, from
// several goroutines, and writes a line for each that was acknowledged. It never
// returns.
func putUntilKilled(path string) {
	db, err := leveldb.NewDatastore(path, nil)
	if err != nil {
		panic(err)
	}
	s, err := OpenStore(context.Background(), StoreConfig{Datastore: db, Validator: &rank{}, Limits: Limits{PerKey: 1000}}, start)
	if err != nil {
		panic(err)
	}
	base := int(time.Now().UnixNano() - start.UnixNano()) // grows from run to run
	var mu sync.Mutex                                     // guards the output
	for n := range 4 {
		go func() {
			p := newParty(n)
			for i := 0; ; i++ {
				b := Batch{Peers: []*Addresses{p.is(base+i, 1)}, Records: []*Record{
					p.provides(fmt.Sprint("new ", base, i), i, 60),
					p.provides(fmt.Sprint("again ", i%7), base+i, 60),
					value(fmt.Sprintf("/v/%d/%d", n, i), fmt.Sprint(i), 60),
					p.is(base+i, 1).record(minute(60)),
				}}
				for j, err := range s.Put(context.Background(), start, b) {
					if err != nil {
						panic(err)
					}
					mu.Lock()
					fmt.Println(crashLine(b.Records[j]))
					mu.Unlock()
				}
			}
		}()
	}
	select {}
}

// A process killed at any moment has lost nothing that it said was stored, and
// its store is not damaged.
func TestCrash(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	path := t.TempDir()
	acked := make(map[string]string) // versions by the text of the ID
	for run := range 6 {
		for _, line := range runAndKill(t, exe, path, 1+rng.IntN(400)) {
			at := strings.LastIndexByte(line, ' ')
			acked[line[:at]] = line[at+1:]
		}
		checkCrashed(t, run, path, acked)
	}
}

// runAndKill returns the lines that the child has written in full. It kills the
// child after it has written some, while it is writing more.
func runAndKill(t *testing.T, exe, path string, some int) []string {
	t.Helper()
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), crashEnv+"="+path)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var lines []string
	in := bufio.NewReader(out)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			break
		}
		lines = append(lines, strings.TrimSuffix(line, "\n"))
		if len(lines) == some {
			if err := cmd.Process.Kill(); err != nil {
				t.Error(err)
			}
		}
	}
	_ = cmd.Wait() // killed
	if len(lines) < some {
		t.Fatalf("the child ended after %d records", len(lines))
	}
	return lines
}

func checkCrashed(t *testing.T, run int, path string, acked map[string]string) {
	t.Helper()
	db, err := leveldb.NewDatastore(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	s := openStore(t, db, Limits{})
	defer s.Close()
	if got := s.Stats().Unreadable; got > 0 {
		t.Errorf("run %d: %d rows unreadable", run, got)
	}
	held := make(map[string]*Record)
	for _, r := range contentsOf(t, s) {
		held[fmt.Sprintf("%x %x", r.ID().Key.Bytes(), r.ID().Rest)] = r
	}
	for id, version := range acked {
		r := held[id]
		// What was being written when the process died may be there as well.
		if r == nil || r.Type != TypeValue && fmt.Sprint(r.Version) < version {
			t.Errorf("run %d: acknowledged version %s of %s, held is %v", run, version, id, r)
		}
	}
	t.Logf("run %d: %d acknowledged, %d held", run, len(acked), len(held))
}
