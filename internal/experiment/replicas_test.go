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
	r := &ReplicasReport{Header: Header{DigitBits: 3, LeafSet: 8}, Replicas: 5}
	for i, want := range []string{"68 %", "", "76 %", "76 %", "76 %"} {
		if got := r.paper(ways[i], 1); got != want {
			t.Errorf("beside %s stands %q, want %q", ways[i], got, want)
		}
	}
}

func TestReplicaWays(t *testing.T) {
	report := run[*ReplicasReport](t, smallReplicas())
	reads, sight, coordinates, handed := &report.Ways[wayReads], &report.Ways[waySight], &report.Ways[wayCoordinates], &report.Ways[wayHanded]
	if coordinates.upTo(1) <= reads.upTo(1) || coordinates.upTo(2) <= sight.upTo(2) || handed.upTo(1) <= coordinates.upTo(1) {
		t.Errorf("shares of lookups that find the nearest: %+v", report.Ways)
	}
	if report.Nearest1 != reads.upTo(1) || report.Nearest2 != reads.upTo(2) || report.Prefix1 != report.Ways[wayFirst].upTo(1) {
		t.Errorf("the report says %v and %v for %+v", report.Nearest1, report.Nearest2, report.Ways)
	}
	if handed.AtRoot >= coordinates.AtRoot || handed.MeanHops <= coordinates.MeanHops {
		t.Errorf("roots that hand lookups on answer a share of %.3f, after %.2f hops in all; others %.3f after %.2f", handed.AtRoot, handed.MeanHops, coordinates.AtRoot, coordinates.MeanHops)
	}
	for _, w := range report.Ways {
		if got := w.Nearest[len(w.Nearest)-1]; got != 1 {
			t.Errorf("%s: a share of %v is answered by one of the replicas, want all", w.Way, got)
		}
	}
}
