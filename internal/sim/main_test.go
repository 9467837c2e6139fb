package sim_test

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/internal/sim"
)

var (
	oneSeed   = flag.Uint64("seed", 0, "run this seed alone")
	seedCount = flag.Int("seeds", 1000, "number of seeds of the tests that take many")
	traceFile = flag.String("events", "", "write the events to this file; for one seed of one test")
)

// forSeeds runs a test for many seeds, as many at once as there are processors,
// or for the one of -seed. Each failure prints the command that replays it.
func forSeeds(t *testing.T, many int, run func(cfg sim.Config) error) {
	t.Helper()
	if *oneSeed != 0 {
		cfg := sim.Config{Seed: *oneSeed}
		if *traceFile != "" {
			trace, done := openTrace(t)
			defer done()
			cfg.Trace = trace
		}
		if err := run(cfg); err != nil {
			t.Errorf("seed %d: %v", *oneSeed, err)
		}
		return
	}
	var next atomic.Uint64
	var failures atomic.Int64
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for seed := next.Add(1); seed <= uint64(many) && failures.Load() < 10; seed = next.Add(1) {
				if err := run(sim.Config{Seed: seed}); err != nil {
					failures.Add(1)
					t.Errorf("seed %d: %v\nreplay: go test ./internal/sim -run '^%s$' -seed %d -events events.txt",
						seed, err, strings.ReplaceAll(t.Name(), "/", "$/^"), seed)
				}
			}
		})
	}
	wg.Wait()
}

func openTrace(t testing.TB) (io.Writer, func()) {
	t.Helper()
	f, err := os.Create(*traceFile)
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriter(f)
	return w, func() {
		if err := w.Flush(); err != nil {
			t.Error(err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
}

// newSim returns a simulation for a test of one scenario, whose seed -seed
// replaces.
func newSim(t testing.TB, seed uint64, cfg sim.Config) *sim.Sim {
	t.Helper()
	cfg.Seed = seed
	if *oneSeed != 0 {
		cfg.Seed = *oneSeed
	}
	if *traceFile != "" {
		trace, done := openTrace(t)
		t.Cleanup(done)
		cfg.Trace = trace
	}
	return sim.New(cfg)
}

// seeds returns how many seeds a test is to run, few of them with -short.
func seeds(few int) int {
	if testing.Short() {
		return min(few, *seedCount)
	}
	return *seedCount
}

// grow starts a ring of n nodes, one joining after the other through random
// members, and lets it settle.
func grow(t testing.TB, s *sim.Sim, n int) {
	t.Helper()
	check(t, build(s, n))
}

func build(s *sim.Sim, n int) error {
	s.Join(s.Add())
	for range n - 1 {
		actives := s.Actives()
		i := s.Add()
		s.Join(i, actives[s.Rand().IntN(len(actives))])
		if took, ok := s.RunUntil(func() bool { return s.Active(i) }, 10*time.Millisecond, time.Minute); !ok {
			return fmt.Errorf("node %d of %d is not active after %v", i, n, took)
		}
	}
	s.Run(time.Minute)
	return s.Ring(nil).CheckLeafSets()
}

// check fails the test at once if there is an error.
func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// settles runs until every leaf set of the ring is exact, at most limit, and
// returns how long that took.
func settles(t testing.TB, s *sim.Sim, limit time.Duration) time.Duration {
	t.Helper()
	exact := func() bool { return s.CheckActive() == nil && s.Ring(nil).CheckLeafSets() == nil }
	took, ok := s.RunUntil(exact, 250*time.Millisecond, limit)
	if !ok {
		t.Fatalf("after %v: %v\n%v", limit, s.CheckActive(), s.Ring(nil).CheckLeafSets())
	}
	return took
}

// quantile returns the q-quantile of the latencies of all messages that went well.
func quantile(ms []*sim.Message, q float64) time.Duration {
	var ds []time.Duration
	for _, m := range ms {
		if m.OK() {
			ds = append(ds, m.Latency())
		}
	}
	if len(ds) == 0 {
		return 0
	}
	slices.Sort(ds)
	return ds[min(int(q*float64(len(ds))), len(ds)-1)]
}

// isLeaf reports whether node i has node j in its leaf set.
func isLeaf(s *sim.Sim, i, j int) bool { return s.Node(i).Leaves().Get(s.ID(j)) != nil }

// names returns the indices of contacts.
func names(s *sim.Sim, cs []*pastry.Contact) []int {
	var is []int
	for _, c := range cs {
		is = append(is, s.Index(c.Peer))
	}
	return is
}
