package experiment

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestCurvesApart draws what differs in nothing but the axis as one curve, and what
// differs otherwise as several.
func TestCurvesApart(t *testing.T) {
	churn := func(command string, session float64) Report {
		return &ChurnReport{Header: Header{Nodes: 10, Command: "pastry sim churn -seed 1 " + command}, Session: session}
	}
	for _, tt := range []struct {
		name    string
		reports []Report
		figures func([]Report) []Figure
		want    map[string]int // points by curve, of the last figure
	}{
		{"sessions", []Report{churn("-session 30m0s", 1800), churn("-session 1h0m0s", 3600)}, churnFigures, map[string]int{
			"control, 10 nodes, 0% of packets lost": 2, "with acknowledgements and resends, 10 nodes, 0% of packets lost": 2,
		}},
		{"heartbeats", []Report{churn("", 1800), churn("-heartbeat 30s", 1800), churn("-heartbeat 30s -session 1h0m0s", 3600)}, churnFigures, map[string]int{
			"control, 10 nodes, 0% of packets lost": 1, "with acknowledgements and resends, 10 nodes, 0% of packets lost": 1,
			"control, 10 nodes, 0% of packets lost, -heartbeat 30s": 2, "with acknowledgements and resends, 10 nodes, 0% of packets lost, -heartbeat 30s": 2,
		}},
		{"splits", []Report{
			&SplitReport{Header: Header{Nodes: 9, Command: "pastry sim split -seed 1 -for 1m0s"}, Parts: 2},
			&SplitReport{Header: Header{Nodes: 9, Command: "pastry sim split -seed 1"}, Parts: 2},
			&SplitReport{Header: Header{Nodes: 8, Command: "pastry sim split -seed 1 -nodes 8 -loss 0.1"}, Parts: 2},
		}, splitFigures, map[string]int{"9 nodes, 2 parts": 2, "8 nodes, 2 parts, -loss 0.1": 1}},
		{"records", []Report{
			&DurabilityReport{Header: Header{Command: "pastry sim records -seed 1"}, Session: 60},
			&DurabilityReport{Header: Header{Command: "pastry sim records -seed 1 -session 2h0m0s"}, Session: 120},
			&DurabilityReport{Header: Header{Command: "pastry sim records -seed 1 -replicas 4"}, Session: 60},
		}, durabilityFigures, map[string]int{
			"moving records": 2, "comparing": 2, "moving records, -replicas 4": 1, "comparing, -replicas 4": 1,
		}},
		{"rings", []Report{
			&HopsReport{Header: Header{Nodes: 5, Topology: "plane", Built: "joins", Command: "pastry sim hops -seed 1 -nodes 5"}, Target: "nodes", Coordinates: true},
			&HopsReport{Header: Header{Nodes: 6, Topology: "plane", Built: "joins", Command: "pastry sim hops -seed 1 -nodes 6 -lookups 9"}, Target: "nodes", Coordinates: true},
			&HopsReport{Header: Header{Nodes: 6, Topology: "plane", Built: "joins", Command: "pastry sim hops -seed 1 -nodes 6 -settle 1h0m0s"}, Target: "nodes", Coordinates: true},
		}, hopsFigures, map[string]int{"node to node, plane, b=0, L=0, joins": 2, "node to node, plane, b=0, L=0, joins, -settle 1h0m0s": 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			figures := tt.figures(tt.reports)
			got := make(map[string]int)
			for _, s := range figures[len(figures)-1].Series {
				if !s.Paper {
					got[s.Name] = len(s.Points)
				}
			}
			if diff := cmp.Diff(got, tt.want); diff != "" {
				t.Errorf("points of each curve, got(-) want(+):\n%s", diff)
			}
		})
	}
}

func TestGiven(t *testing.T) {
	got := given("pastry sim hops -seed 7 -coordinates=false -perfect -topology 'my file.csv' -nodes 5")
	want := []string{"-seed 7", "-coordinates=false", "-perfect", "-topology 'my file.csv'", "-nodes 5"}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("got(-) want(+):\n%s", diff)
	}
}
