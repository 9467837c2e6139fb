package experiment

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/secondbit/pastry/internal/sim"
)

// ReplicasReport is what Replicas measures. Shares are of 1.
type ReplicasReport struct {
	Header
	Coordinates bool          `json:"coordinates"`
	Replicas    int           `json:"replicas"`
	Lookups     int           `json:"lookups"` // each way
	Lost        int           `json:"lost"`
	Wrong       int           `json:"wrong"`
	Problems    []string      `json:"problems,omitempty"`
	Way         string        `json:"way"`              // of the three that follow
	Nearest1    float64       `json:"nearest_1"`        // share answered by the nearest replica
	Nearest2    float64       `json:"nearest_2"`        // share answered by one of the two nearest
	MeanHops    float64       `json:"mean_hops"`        //
	Prefix1     float64       `json:"prefix_nearest_1"` // of the way "first"
	Prefix2     float64       `json:"prefix_nearest_2"`
	Ways        []ReplicasWay `json:"ways"`
}

// ReplicasWay is how lookups fared that went one way.
type ReplicasWay struct {
	Way      string    `json:"way"`
	Nearest  []float64 `json:"nearest"` // share answered by one of the 1, 2 and so on nearest
	MeanHops float64   `json:"mean_hops"`
	Delay    float64   `json:"delay_mean_ms"` // until the answering replica has it
	Least    float64   `json:"least_mean_ms"` // direct to the nearest replica
	AtRoot   float64   `json:"at_root"`       // share answered by the root
}

// finding adds up which replicas answered the lookups of one way.
type finding struct {
	lookups int
	ranks   []int // lookups answered by the nearest replica, by the second nearest and so on
	root    int
	hops    tally
	delay   tally
	least   tally
}

// add takes in a lookup that has ended, of a key with k replicas.
func (f *finding) add(world *sim.Sim, t *trip, k int) {
	if !t.ok {
		return
	}
	set := world.Closest(keyOf(t.msg), k)
	root := set[0]
	end := t.hops()
	if t.msg.Payload[0] == wayFirst {
		end = slices.IndexFunc(t.path, func(i int) bool { return slices.Contains(set, i) })
	}
	slices.SortStableFunc(set, func(a, b int) int { return cmp.Compare(world.Direct(t.from, a), world.Direct(t.from, b)) })
	if own := slices.Index(set, t.from); own > 0 { // a node is nearest to itself
		set = slices.Insert(slices.Delete(set, own, own+1), 0, t.from)
	}
	by := t.path[end]
	f.lookups++
	if f.ranks == nil {
		f.ranks = make([]int, k)
	}
	if rank := slices.Index(set, by); rank >= 0 {
		f.ranks[rank]++
	}
	if by == root {
		f.root++
	}
	f.hops = append(f.hops, float64(end))
	took := t.took
	if end < t.hops() {
		took = (&trip{path: t.path[:end+1]}).length(world)
	}
	f.delay = append(f.delay, milliseconds(took))
	if set[0] != t.from {
		f.least = append(f.least, milliseconds(world.Direct(t.from, set[0])))
	} else {
		f.least = append(f.least, 0)
	}
}

// fill writes the sums into the report.
func (r *ReplicasReport) fill(finds []finding) {
	for way := range finds {
		f := &finds[way]
		w := ReplicasWay{Way: ways[way], MeanHops: f.hops.mean(), Delay: f.delay.mean(), Least: f.least.mean(), AtRoot: share(f.root, f.lookups)}
		sum := 0
		for _, n := range f.ranks {
			sum += n
			w.Nearest = append(w.Nearest, share(sum, f.lookups))
		}
		r.Ways = append(r.Ways, w)
		if w.Way == r.Way {
			r.Nearest1, r.Nearest2, r.MeanHops = w.upTo(1), w.upTo(2), w.MeanHops
		}
	}
	r.Prefix1, r.Prefix2 = r.Ways[wayFirst].upTo(1), r.Ways[wayFirst].upTo(2)
}

// upTo returns the share answered by one of the n nearest replicas.
func (w *ReplicasWay) upTo(n int) float64 {
	if len(w.Nearest) == 0 {
		return 0
	}
	return w.Nearest[min(n, len(w.Nearest))-1]
}

// Rows returns the report as a table.
func (r *ReplicasReport) Rows() []Row {
	rows := []Row{
		{"lookups, each way", fmt.Sprint(r.Lookups), ""},
		{"lost", fmt.Sprint(r.Lost), ""},
		{"delivered by the wrong node", fmt.Sprint(r.Wrong), ""},
	}
	for i := range r.Ways {
		w := &r.Ways[i]
		name := w.Way
		for n := 1; n <= len(w.Nearest); n++ {
			what := fmt.Sprintf("%s: answered by one of the %d nearest", name, n)
			if n == 1 {
				what = name + ": answered by the nearest replica"
			}
			rows = append(rows, Row{what, percent(w.upTo(n)), r.paper(w.Way, n)})
		}
		rows = append(rows,
			Row{name + ": hops, mean", fmt.Sprintf("%.3f", w.MeanHops), ""},
			Row{name + ": delay until a replica has it, mean", fmt.Sprintf("%.1f ms", w.Delay), ""},
			Row{name + ": answered by the root", percent(w.AtRoot), ""})
	}
	rows = append(rows, Row{"direct delay to the nearest replica, mean", fmt.Sprintf("%.1f ms", r.Ways[0].Least), ""})
	return append(rows, remarks("problem", r.Problems)...)
}

// paper returns the paper's share for one of the n nearest. It has none for reads.
func (r *ReplicasReport) paper(way string, n int) string {
	if r.Nodes != 10_000 || r.Topology != "plane" || r.Replicas != 5 || r.DigitBits != 3 || r.LeafSet != 8 || n > 2 {
		return ""
	}
	switch way {
	case ways[wayFirst]:
		return paperShare(paperPrefix[n-1])
	case ways[wayReads]:
		return ""
	default:
		return paperShare(paperHeuristic[n-1])
	}
}
