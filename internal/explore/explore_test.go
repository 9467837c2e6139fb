package explore

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/secondbit/pastry"
)

// unlimited is more steps, or states, than any search gets to.
const unlimited = 1 << 30

// searches are the worlds that are searched. Where depth is zero all states there
// are must be visited, else all up to this depth.
var searches = []struct {
	name  string
	cfg   Config
	depth int
}{
	{"one joins, two faults", Config{Nodes: 2, Members: []int{0}, Faults: 2, Settle: 300}, 40},
	{"one of two crashes, two faults", Config{Nodes: 2, Members: []int{0, 1}, Crashes: 1, Faults: 2, Rests: 1, Settle: 300}, 0},
	{"two join one", Config{Nodes: 3, Members: []int{0}, Rests: 2, Settle: 20}, 0},
	{"two join one, a fault", Config{Nodes: 3, Members: []int{0}, Faults: 1, Settle: 300}, 25},
	{"two join one, four faults", Config{Nodes: 3, Members: []int{0}, Faults: 4, Settle: 300}, 11},
	{"one joins two, a crash", Config{Nodes: 3, Members: []int{0, 1}, Crashes: 1, Rests: 1, Settle: 50}, 0},
	{"one joins two, a crash, a fault", Config{Nodes: 3, Members: []int{0, 1}, Faults: 1, Crashes: 1, Settle: 300}, 26},
	{"three without a ring", Config{Nodes: 3, Settle: 300}, 34},
	{"four without a ring", Config{Nodes: 4, Settle: 300}, 12},
	{"three join one", Config{Nodes: 4, Members: []int{0}, Settle: 500}, 30},
	{"two join two in one gap", Config{Nodes: 4, Members: []int{0, 1}, Settle: 300}, 0},
	{"two join two in two gaps", Config{Nodes: 4, Members: []int{0, 2}, Settle: 300}, 0},
	{"two join two, a crash", Config{Nodes: 4, Members: []int{0, 2}, Crashes: 1, Settle: 300}, 26},
	{"two join two, a fault", Config{Nodes: 4, Members: []int{0, 1}, Faults: 1, Settle: 300}, 18},
	{"two join two, a crash, a fault", Config{Nodes: 4, Members: []int{0, 1}, Faults: 1, Crashes: 1, Settle: 300}, 13},
	{"one joins three, two crashes", Config{Nodes: 4, LeafSetSize: 8, Members: []int{0, 1, 2}, Crashes: 2, Settle: 100}, 26},
	{"two of four crash, a fault", Config{Nodes: 4, LeafSetSize: 8, Members: []int{0, 1, 2, 3}, Crashes: 2, Faults: 1, Rests: 1, Settle: 300}, 15},
	{"two join two, L=2", Config{Nodes: 4, LeafSetSize: 2, Members: []int{0, 2}, Settle: 100}, 0},
	{"two of four crash after a rest", Config{Nodes: 4, Members: []int{0, 1, 2, 3}, Crashes: 2, Rests: 1, Script: rest, Settle: 1}, 12},
	{"one of three crashes after a rest, L=2", Config{Nodes: 3, LeafSetSize: 2, Members: []int{0, 1, 2}, Crashes: 1, Rests: 1, Script: rest, Settle: 1}, 12},
	{"three of six crash after a rest", Config{Nodes: 6, Members: []int{0, 1, 2, 3, 4, 5}, Crashes: 3, Rests: 1, Script: rest, Settle: 1}, 5},
	{"four that were split", Config{Nodes: 4, Members: []int{0, 1, 2, 3}, Faults: 1, Rests: 1, Script: split, Settle: 1}, 16},
	{"two join two, a fault, L=2", Config{Nodes: 4, LeafSetSize: 2, Members: []int{0, 2}, Faults: 1, Settle: 300}, 18},
}

// rest leaves the ring alone until its tables are probed seldom.
func rest(s *Stage) {
	until := s.Now() + time.Minute
	s.Until(func() bool { return s.Now() > until && s.Quiet() })
}

// split cuts the ring in two until each half has buried the other, and mends it.
func split(s *Stage) {
	s.Cut(func(from, to int, _ *pastry.Packet) bool { return from/2 != to/2 })
	s.Until(func() bool {
		for i := range 2 {
			if s.Sees(i, 2) || s.Sees(i, 3) || s.Sees(i+2, 0) || s.Sees(i+2, 1) {
				return false
			}
		}
		return s.Quiet()
	})
	s.Cut(nil)
}

// TestSearch visits the states of small rings and prints how many there are. The
// flags -nodes, -losses and -depth choose among the worlds, and go deeper.
func TestSearch(t *testing.T) {
	for _, tt := range searches {
		cfg := tt.cfg
		if testing.Short() && (cfg.Nodes == 4 || cfg.Faults > 1) {
			continue // a search has one goroutine, and takes ten times as long under the race detector
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
			t.Logf("%d nodes, members %v: %v (%v)", cfg.Nodes, cfg.Members, r, time.Since(began).Round(time.Millisecond))
			if r.Fault != nil {
				t.Error(trace(cfg, r.Fault))
			}
			if want := tt.depth; r.Complete < want || want == 0 && *stepDepth == 0 && !r.Exhausted {
				t.Errorf("all states up to depth %d were visited, want %d, zero for all", r.Complete, want)
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
