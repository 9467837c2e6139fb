package explore

import (
	"flag"
	"os"
	"runtime/debug"
	"testing"
)

var (
	nodeCount  = flag.Int("nodes", 0, "search rings of this many nodes alone; nodes of a walk")
	stepDepth  = flag.Int("depth", 0, "search to this depth; steps of a walk")
	faultCount = flag.Int("losses", -1, "search with this many packets lost or late, a depth given")
	walkCount  = flag.Int("walks", 600, "number of random walks")
	walkSeed   = flag.Uint64("seed", 0, "take this walk alone, and print its steps")
)

// A search makes little garbage beside what it keeps.
func TestMain(m *testing.M) {
	flag.Parse()
	debug.SetGCPercent(300)
	os.Exit(m.Run())
}
