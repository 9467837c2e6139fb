package interop_test

import (
	"flag"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	dht "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p/core/routing"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/interop"
	"github.com/secondbit/pastry/testutil"
)

var update = flag.Bool("update", false, "write what kad-dht does to testdata")

// This router passes every case.
func TestPastry(t *testing.T) {
	testutil.Conformance(t, interop.Pastry())
}

// Which cases kad-dht fails is known. Why it does may read differently from run
// to run, so that is not compared.
func TestKadDHT(t *testing.T) {
	got := interop.Text(testutil.Run(t.Context(), interop.KadDHT()))
	t.Logf("%s\n%s", interop.KadDHT().Name, got)
	golden := filepath.Join("testdata", "kad-dht.txt")
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(interop.Outcomes(string(want)), interop.Outcomes(got)); diff != "" {
		t.Errorf("outcomes of kad-dht (-%s +now):\n%s", golden, diff)
	}
}

// judge is a validator that notes that it was asked. A member judges a value
// whenever it reads it.
type judge struct{ asked atomic.Bool }

func (j *judge) Validate(string, []byte) error {
	j.asked.Store(true)
	return nil
}

func (j *judge) Select(string, [][]byte) (int, error) { return 0, nil }

// The option that asks kad-dht for a quorum, which namesys passes, does what this
// router's own does: all holders are read for a large one, not all for one of 1.
func TestQuorumOfKadDHT(t *testing.T) {
	ctx := within(t, 20*time.Second)
	judges := make([]judge, 5)
	var nodes []*pastry.Node
	for i := range judges {
		nodes = append(nodes, join(t, nodes, pastry.WithMode(pastry.ModeServer), pastry.WithNamespacedValidator("judged", &judges[i])))
	}
	key := "/judged/key"
	must(t, nodes[0].PutValue(ctx, key, []byte("value")))
	readers := func(opt routing.Option) (count int) {
		for i := range judges {
			judges[i].asked.Store(false)
		}
		_, err := nodes[1].GetValue(ctx, key, opt)
		must(t, err)
		for i := range judges {
			if judges[i].asked.Load() {
				count++
			}
		}
		return count
	}
	for name, quorum := range map[string]func(int) routing.Option{"kad-dht": dht.Quorum, "pastry": pastry.Quorum} {
		// A write is acknowledged before the last member has it.
		poll(t, ctx, name+": all members read the value for a quorum of 16",
			func() bool { return readers(quorum(16)) == len(judges) })
		// A root that is not sure yet asks more than it is told to.
		poll(t, ctx, name+": fewer members read the value for a quorum of 1",
			func() bool { return readers(quorum(1)) < len(judges) })
	}
}
