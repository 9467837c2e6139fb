package explore

import (
	"math/rand/v2"
	"testing"
)

// walkConfig draws the world of a walk: 4 to 16 nodes, none to all of them members,
// and where in the run it stops.
func walkConfig(seed uint64) Config {
	rng := rand.New(rand.NewPCG(seed, 0xc0f1))
	cfg := Config{Seed: seed, Nodes: 4 + rng.IntN(13), LeafSetSize: []int{2, 4, 4, 8}[rng.IntN(4)],
		Faults: []int{0, 2, 10, 40, 100}[rng.IntN(5)], Crashes: rng.IntN(5), Rests: 40, Depth: 20 + rng.IntN(900)}
	if *nodeCount > 0 {
		cfg.Nodes = *nodeCount
	}
	if *stepDepth > 0 {
		cfg.Depth = *stepDepth
	}
	if rng.IntN(5) != 0 {
		share := rng.IntN(100)
		for i := range cfg.Nodes {
			if i == 0 || rng.IntN(100) < share {
				cfg.Members = append(cfg.Members, i)
			}
		}
	}
	return cfg
}

// TestWalks takes random walks on rings of 4 to 16 nodes.
func TestWalks(t *testing.T) {
	first, n := uint64(1), *walkCount
	if testing.Short() {
		n = min(n, 20)
	}
	if *walkSeed != 0 {
		first, n = *walkSeed, 1
	}
	var sum Walk
	for seed := first; seed < first+uint64(n); seed++ {
		cfg := walkConfig(seed)
		r := RandomWalk(cfg)
		sum.Steps += r.Steps
		sum.Time += r.Time
		sum.Active = max(sum.Active, r.Active)
		sum.Excused += r.Excused
		for i, n := range r.Clashes {
			sum.Clashes[i] += n
		}
		sum.Took = max(sum.Took, r.Took)
		if r.Fault != nil || *walkSeed != 0 {
			t.Log(r)
		}
		if r.Fault != nil {
			r.Fault = Shrink(cfg, r.Fault)
			t.Fatalf("replay: go test ./internal/explore -run TestWalks -v -seed %d\nshrunk: %s", seed, trace(cfg, r.Fault))
		}
	}
	t.Logf("%d walks: %d steps, %v of virtual time, up to %d active, %d steps excused, clashes %v, slowest to settle %v",
		n, sum.Steps, sum.Time, sum.Active, sum.Excused, sum.Clashes[1:], sum.Took)
}
