package experiment

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/internal/sim"
	"github.com/secondbit/pastry/ring"
)

// byHand follows NextHop from node to node.
func byHand(world *sim.Sim, from int, key ring.ID) []int {
	path := []int{from}
	for len(path) < 50 {
		c, ok := world.Node(path[len(path)-1]).NextHop(key, nil)
		if !ok {
			break
		}
		path = append(path, world.Index(c.Peer))
	}
	return path
}

func TestPathsAreThoseOfNextHop(t *testing.T) {
	world, trips := ringOf(t, small())
	m := newMileage(world)
	var got []int
	trips.ended = func(t *trip) { got = t.path; m.add(t) }
	hops, lookups := 0, 0
	for range 300 {
		from, msg := trips.toKey()
		want := byHand(world, from, msg.Key)
		trips.route(from, msg)
		if err := trips.wait(nil); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(got, want); diff != "" {
			t.Errorf("lookup of %v from node %d (-got +want):\n%s", msg.Key, from, diff)
		}
		hops, lookups = hops+len(want)-1, lookups+1
	}
	if got, want := m.meanHops(), float64(hops)/float64(lookups); math.Abs(got-want) > 1e-9 {
		t.Errorf("mean hops are %v, by hand %v", got, want)
	}
}

// TestDelayIsRouteLength holds two measurements against each other: the time that
// lookups took, and the sum of the delays of the links they took. Nobody waits
// for anything in a ring at rest.
func TestDelayIsRouteLength(t *testing.T) {
	r := run[*HopsReport](t, smallHops())
	if math.Abs(r.Stretch-r.DelayStretch) > 1e-6 {
		t.Errorf("routes are %.6f times as long as the direct way, and take %.6f times as long", r.Stretch, r.DelayStretch)
	}
	if r.Stretch < 1 || r.MedianStretch < 1 {
		t.Errorf("the stretch is %v, the median %v: shorter than the direct way on a plane", r.Stretch, r.MedianStretch)
	}
	sum := 0.0
	mean := 0.0
	for hops, s := range r.Distribution {
		sum += s
		mean += float64(hops) * s
	}
	if math.Abs(sum-1) > 1e-9 || math.Abs(mean-r.MeanHops) > 1e-9 {
		t.Errorf("the distribution %v sums up to %v with mean %v, want 1 and %v", r.Distribution, sum, mean, r.MeanHops)
	}
	if r.MaxHops != len(r.Distribution)-1 || r.Distribution[r.MaxHops] == 0 || r.Distribution[0] != 0 {
		t.Errorf("most hops are %d, the distribution is %v", r.MaxHops, r.Distribution)
	}
}

func TestJitterCountsAsDelayOnly(t *testing.T) {
	h := smallHops()
	h.Jitter = .5
	r := run[*HopsReport](t, h)
	if r.DelayStretch < 1.1*r.Stretch {
		t.Errorf("with jitter lookups take %.3f times the direct delay over routes of %.3f times the direct distance, want a quarter more", r.DelayStretch, r.Stretch)
	}
}

func TestKeysAreNotNodes(t *testing.T) {
	long(t)
	h := smallHops()
	h.Keys = true
	keys, nodes := run[*HopsReport](t, h), run[*HopsReport](t, smallHops())
	if keys.Target != "keys" || nodes.Target != "nodes" {
		t.Errorf("targets are %q and %q", keys.Target, nodes.Target)
	}
	if keys.MeanHops == nodes.MeanHops {
		t.Errorf("lookups of keys and of nodes take %v hops alike", keys.MeanHops)
	}
	if keys.kind() == nodes.kind() {
		t.Errorf("both are drawn as one curve, %q", keys.kind())
	}
}

// TestCoordinatesMatter shows that the figures tell good tables from bad ones.
func TestCoordinatesMatter(t *testing.T) {
	long(t)
	without := smallHops()
	without.Coordinates = false
	bad, good := run[*HopsReport](t, without), run[*HopsReport](t, smallHops())
	if bad.Stretch <= good.Stretch || bad.EntryRatio <= good.EntryRatio || bad.EntryNearest >= good.EntryNearest || bad.SuboptimalARow <= good.SuboptimalARow {
		t.Errorf("without coordinates %+v\nwith them %+v", bad, good)
	}
}

// TestSurvey counts the entries of all tables in another way: by asking of every
// pair of nodes whether the one should have the other.
func TestSurvey(t *testing.T) {
	s := small()
	world, _ := ringOf(t, s)
	var r HopsReport
	if err := s.survey(t.Context(), nil, world, &r); err != nil {
		t.Fatal(err)
	}
	type place struct{ node, row, digit int }
	best := make(map[place]int)
	for _, i := range world.Actives() {
		for _, j := range world.Actives() {
			if i == j {
				continue
			}
			row := ring.SharedPrefixLen(world.ID(i), world.ID(j), s.DigitBits)
			at := place{i, row, world.ID(j).Digit(row, s.DigitBits)}
			if b, ok := best[at]; !ok || world.Direct(i, j) < world.Direct(i, b) {
				best[at] = j
			}
		}
	}
	var nearest, missing int
	var delay, least time.Duration
	for at, j := range best {
		row := world.Node(at.node).Table().AppendRow(nil, at.row)
		k := slices.IndexFunc(row, func(c *pastry.Contact) bool { return c.ID.Digit(at.row, s.DigitBits) == at.digit })
		if k < 0 {
			missing++
			continue
		}
		least += world.Direct(at.node, j)
		delay += world.Direct(at.node, world.Index(row[k].Peer))
		if row[k].ID == world.ID(j) {
			nearest++
		}
	}
	if r.TableNodes != s.Nodes {
		t.Errorf("%d nodes were looked at, want %d", r.TableNodes, s.Nodes)
	}
	got := []float64{r.EntryNearest, r.EntryMissing, r.EntryRatio}
	want := []float64{share(nearest, len(best)), share(missing, len(best)), float64(delay) / float64(least)}
	for i := range got {
		if math.Abs(got[i]-want[i]) > 1e-9 {
			t.Errorf("shares nearest and missing, and delay ratio, are %v, want %v", got, want)
			break
		}
	}
}

// TestGaps empties the entry that the origin of a lookup has gone by.
func TestGaps(t *testing.T) {
	world, trips := ringOf(t, small())
	tried := 0
	trips.ended = func(trip *trip) {
		n := world.Node(trip.from)
		if n.Leaves().Covers(trip.msg.Key) || meetsGap(world, trip) {
			return
		}
		tried++
		for c := n.Table().Primary(trip.msg.Key); c != nil; c = n.Table().Primary(trip.msg.Key) {
			n.Table().Remove(c.ID)
		}
		if !meetsGap(world, trip) {
			t.Errorf("the lookup of %v by node %d meets no gap, though that node has no entry for it", trip.msg.Key, trip.from)
		}
	}
	if err := trips.send(nil, "", 100, 5*time.Millisecond, trips.toNode); err != nil {
		t.Fatal(err)
	}
	if tried < 50 {
		t.Errorf("only %d of 100 lookups went by an entry", tried)
	}
}

// TestRareLinks leaves out the mean of a link that hardly any route has.
func TestRareLinks(t *testing.T) {
	r := &HopsReport{Distribution: []float64{0, .5, .4995, .0005}, HopLengths: []float64{10, 20, 500}}
	f := lengthsFigure([]*HopsReport{r}, func(*HopsReport) string { return "" })
	if got := len(f.Series[0].Points); got != 2 {
		t.Errorf("%d links are shown, want 2", got)
	}
}
