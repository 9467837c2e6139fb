package experiment

import (
	"testing"
)

func TestOneReplicaIsTheRoot(t *testing.T) {
	r := smallReplicas()
	r.Replicas, r.Lookups = 1, 300
	for _, w := range run[*ReplicasReport](t, r).Ways {
		if len(w.Nearest) != 1 || w.Nearest[0] != 1 || w.AtRoot != 1 {
			t.Errorf("of one replica, %s finds the nearest in a share of %v, the root in %v, want 1", w.Way, w.Nearest, w.AtRoot)
		}
	}
}

// TestAllInSight reads in a ring of which every node sees all: each asks the
// nearest itself.
func TestAllInSight(t *testing.T) {
	r := smallReplicas()
	r.Nodes, r.LeafSet, r.Lookups = 15, 32, 400
	report := run[*ReplicasReport](t, r)
	for _, w := range report.Ways[1:] {
		if w.upTo(1) < .95 || w.MeanHops > 1 || w.Delay > 1.1*w.Least {
			t.Errorf("%s finds the nearest in a share of %.3f, with %.2f hops and %.1f ms, want it always, with one hop and %.1f ms", w.Way, w.upTo(1), w.MeanHops, w.Delay, w.Least)
		}
	}
	if first := report.Ways[wayFirst]; first.upTo(1) > .9*report.Ways[wayReads].upTo(1) {
		t.Errorf("prefix routing finds the nearest in a share of %.3f, though it goes by the ring", first.upTo(1))
	}
}

func TestReplicasPaper(t *testing.T) {
	r := &ReplicasReport{Header: Header{Nodes: 10_000, Topology: "plane", DigitBits: 3, LeafSet: 8}, Replicas: 5}
	for i, want := range []string{"68 %", "", "76 %"} {
		if got := r.paper(ways[i], 1); got != want {
			t.Errorf("beside %s stands %q, want %q", ways[i], got, want)
		}
	}
	r.Topology = "regions"
	if got := r.paper(ways[0], 1); got != "" {
		t.Errorf("beside another topology stands %q", got)
	}
}

func TestReplicaWays(t *testing.T) {
	report := run[*ReplicasReport](t, smallReplicas())
	first, reads, nearest := &report.Ways[wayFirst], &report.Ways[wayReads], &report.Ways[wayNearest]
	if first.upTo(1) <= reads.upTo(1) || nearest.upTo(1) <= first.upTo(1) || nearest.upTo(2) <= first.upTo(2) {
		t.Errorf("shares of lookups that find the nearest: %+v", report.Ways)
	}
	if report.Nearest1 != nearest.upTo(1) || report.Nearest2 != nearest.upTo(2) || report.Prefix1 != first.upTo(1) {
		t.Errorf("the report says %v and %v for %+v", report.Nearest1, report.Nearest2, report.Ways)
	}
	if nearest.AtRoot >= .5 || reads.AtRoot <= .5 {
		t.Errorf("a share of %.3f ends at the root on the way to the nearest, and of %.3f in reads", nearest.AtRoot, reads.AtRoot)
	}
	if report.Wrong > 0 || report.Lost > 0 {
		t.Errorf("%d wrong, %d lost: %q", report.Wrong, report.Lost, report.Problems)
	}
	for _, w := range report.Ways {
		if got := w.Nearest[len(w.Nearest)-1]; got != 1 {
			t.Errorf("%s: a share of %v is answered by one of the replicas, want all", w.Way, got)
		}
	}
}
