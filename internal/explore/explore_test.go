package explore

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// unlimited is more steps, or states, than any search gets to.
const unlimited = 1 << 30

// searches are the worlds that are searched. Where depth is zero all states there
// are must be visited, else all up to this depth, which counts from the end of the
// script. In some state as many nodes as active says must be active at once: all, but
// those that crashed in the script, and but for three without a ring, of which the
// next world sees the third.
var searches = []struct {
	name   string
	cfg    Config
	depth  int
	active int
}{
	{"one joins, two faults", Config{Nodes: 2, Members: []int{0}, Faults: 2, Settle: true}, 38, 2},
	{"one of two crashes, two faults", Config{Nodes: 2, Members: []int{0, 1}, Crashes: 1, Faults: 2, Rests: 1, Settle: true}, 0, 2},
	{"two join one", Config{Nodes: 3, Members: []int{0}, Rests: 2, Settle: true}, 0, 3},
	{"two join one, a fault", Config{Nodes: 3, Members: []int{0}, Faults: 1, Settle: true}, 25, 3},
	{"two join one, four faults", Config{Nodes: 3, Members: []int{0}, Faults: 4, Script: behind(1, 2), Settle: true}, 11, 3},
	{"one joins two, a crash", Config{Nodes: 3, Members: []int{0, 1}, Crashes: 1, Rests: 1, Settle: true}, 0, 3},
	{"one joins two, a crash, a fault", Config{Nodes: 3, Members: []int{0, 1}, Faults: 1, Crashes: 1, Settle: true}, 26, 3},
	{"three without a ring", Config{Nodes: 3, Settle: true}, 34, 2},
	{"three without a ring, one has founded it", Config{Nodes: 3, Faults: 1, Script: founded, Settle: true}, 25, 3},
	{"four without a ring, one has founded it", Config{Nodes: 4, Script: founded, Settle: true}, 22, 4},
	{"three join one", Config{Nodes: 4, Members: []int{0}, Script: asking(1, 2, 3), Settle: true}, 28, 4},
	{"three join one, a fault", Config{Nodes: 4, Members: []int{0}, Faults: 1, Script: behind(1, 2, 3), Settle: true}, 20, 4},
	{"two join two in one gap", Config{Nodes: 4, Members: []int{0, 1}, Settle: true}, 0, 4},
	{"two join two in two gaps", Config{Nodes: 4, Members: []int{0, 2}, Settle: true}, 0, 4},
	{"two join two, a crash", Config{Nodes: 4, Members: []int{0, 2}, Crashes: 1, Settle: true}, 26, 4},
	{"two join two, a fault", Config{Nodes: 4, Members: []int{0, 1}, Faults: 1, Script: behind(2, 3), Settle: true}, 18, 4},
	{"two join two, a crash, a fault", Config{Nodes: 4, Members: []int{0, 1}, Faults: 1, Crashes: 1, Script: behind(2, 3), Settle: true}, 15, 4},
	{"one joins three, two crashes", Config{Nodes: 4, LeafSetSize: 8, Members: []int{0, 1, 2}, Crashes: 2, Settle: true}, 26, 4},
	{"two of four crash, a fault", Config{Nodes: 4, LeafSetSize: 8, Members: []int{0, 1, 2, 3}, Crashes: 2, Faults: 1, Rests: 1, Settle: true}, 15, 4},
	{"two join two, L=2", Config{Nodes: 4, LeafSetSize: 2, Members: []int{0, 2}, Settle: true}, 0, 4},
	{"two join two, a fault, L=2", Config{Nodes: 4, LeafSetSize: 2, Members: []int{0, 2}, Faults: 1, Script: behind(1, 3), Settle: true}, 16, 4},
	{"two of four crash after a rest", Config{Nodes: 4, Members: []int{0, 1, 2, 3}, Crashes: 2, Rests: 1, Script: rest, Settle: true}, 12, 4},
	{"one of three crashes after a rest, L=2", Config{Nodes: 3, LeafSetSize: 2, Members: []int{0, 1, 2}, Crashes: 1, Rests: 1, Script: rest, Settle: true}, 12, 3},
	{"three of six crash after a rest", Config{Nodes: 6, Members: []int{0, 1, 2, 3, 4, 5}, Crashes: 3, Rests: 1, Script: rest, Settle: true}, 5, 6},
	{"four that were split", Config{Nodes: 4, Members: []int{0, 1, 2, 3}, Faults: 1, Rests: 1, Script: split, Settle: true}, 16, 4},
	{"the right neighbour is not told of a death", Config{Nodes: 6, Members: []int{0, 1, 2, 3, 4, 5}, Faults: 1, Rests: 1, Script: untold(3, leftKnow), Settle: true}, 8, 5},
	{"one farther off is not told of a death", Config{Nodes: 6, Members: []int{0, 1, 2, 3, 4, 5}, Rests: 1, Script: untold(0, allButFirstKnow), Settle: true, Patience: 2 * time.Second}, 8, 5},
	{"a lease outlived by its giver's death", Config{Nodes: 16, Members: []int{0, 2, 9}, Absent: []int{1, 3, 6, 7, 8, 10, 11, 12, 13, 14, 15}, Faults: 1, Script: quickDeath}, 15, 3},
	{"an old lease", Config{Nodes: 8, Members: []int{0, 1, 4}, Absent: []int{3, 5, 6, 7}, Faults: 1, Script: oldLease, Settle: true}, 18, 3},
	{"announced when the one between dies", Config{Nodes: 8, Members: []int{0, 1, 4}, Absent: []int{3, 5, 6, 7}, Faults: 2, Script: announced, Settle: true}, 12, 3},
	{"an overdue grant", Config{Nodes: 4, Members: []int{0, 2}, Absent: []int{3}, Faults: 1, Script: overdue, Settle: true}, 16, 3},
	{"an answer that is not acknowledged", Config{Nodes: 5, Members: []int{1, 4}, Absent: []int{0, 3}, Faults: 5, Script: handedBack, Settle: true}, 6, 3},
}

// TestSearch visits the states of small rings and prints how many there are. The
// flags -nodes, -losses and -depth choose among the worlds, and go deeper.
func TestSearch(t *testing.T) {
	for _, tt := range searches {
		cfg := tt.cfg
		if testing.Short() && (cfg.Nodes == 4 || cfg.Faults > 1 || cfg.Script != nil && cfg.Faults > 0) {
			continue // a search has one goroutine, and takes ten times as long under the race detector
		}
		if testing.Short() {
			cfg.Settle = tt.depth == 0 || cfg.Script != nil // where few have to be tried
		}
		if *nodeCount > 0 && cfg.Nodes != *nodeCount {
			continue
		}
		if *faultCount >= 0 {
			cfg.Faults, tt.depth = *faultCount, 1
		}
		if cfg.Depth = tt.depth; *stepDepth > 0 {
			cfg.Depth = *stepDepth
		} else if tt.depth == 0 {
			cfg.Depth = unlimited
		}
		cfg.Limit = unlimited
		t.Run(tt.name, func(t *testing.T) {
			began := time.Now()
			r := Search(cfg)
			t.Logf("%d nodes, members %v: %v (%v)", cfg.Nodes-len(cfg.Absent), cfg.Members, r, time.Since(began).Round(time.Millisecond))
			if r.Fault != nil {
				t.Error(trace(cfg, r.Fault))
			}
			if want := tt.depth; r.Complete < want || want == 0 && *stepDepth == 0 && !r.Exhausted {
				t.Errorf("all states up to depth %d were visited, want %d, zero for all", r.Complete, want)
			}
			if *stepDepth == 0 && r.Active < tt.active {
				t.Errorf("up to %d nodes were active at once, want %d", r.Active, tt.active)
			}
		})
	}
}

func trace(cfg Config, f *Fault) string {
	var s strings.Builder
	fmt.Fprintf(&s, "broken after %d steps: %v\n", len(f.Path), f.Err)
	f.Print(&s, cfg)
	return s.String()
}
