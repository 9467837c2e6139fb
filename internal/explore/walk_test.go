package explore

import "testing"

// walkConfig derives the world of a walk from its seed.
func walkConfig(seed uint64) Config {
	nodes := 5 + int(seed%8)
	cfg := Config{Seed: seed, Nodes: nodes, LeafSetSize: 4 + 4*int(seed%3/2), Faults: 15 * int(seed%5),
		Crashes: int(seed % 4), Rests: 40, Depth: 2000}
	if *nodeCount > 0 {
		cfg.Nodes = *nodeCount
	}
	if *stepDepth > 0 {
		cfg.Depth = *stepDepth
	}
	for i := 0; i < cfg.Nodes; i += 3 {
		cfg.Members = append(cfg.Members, i)
	}
	return cfg
}

// TestWalks takes random walks on rings of 5 to 12 nodes.
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
		sum.Took = max(sum.Took, r.Took)
		if r.Fault != nil || *walkSeed != 0 {
			t.Log(r)
		}
		if r.Fault != nil {
			r.Fault = Shrink(cfg, r.Fault)
			t.Fatalf("replay: go test ./internal/explore -run TestWalks -v -seed %d\nshrunk: %s", seed, trace(cfg, r.Fault))
		}
	}
	t.Logf("%d walks: %d steps, %v of virtual time, up to %d active, %d steps excused, slowest to settle %v",
		n, sum.Steps, sum.Time, sum.Active, sum.Excused, sum.Took)
}
