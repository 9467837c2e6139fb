package pastry

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/serf/coordinate"
)

// vivaldiPlane is a set of nodes on a plane whose round trips are known.
type vivaldiPlane struct {
	nodes    []*Vivaldi
	contacts []*Contact
	at       [][2]float64 // in seconds of round trip
}

// newVivaldiPlane puts n nodes on a plane of the given width.
func newVivaldiPlane(seed uint64, n int, width time.Duration) *vivaldiPlane {
	pl := &vivaldiPlane{}
	rng := rand.New(rand.NewPCG(seed, 0))
	for i := range n {
		pl.nodes = append(pl.nodes, NewVivaldi("", 0, rand.New(rand.NewPCG(seed, uint64(i)+1))))
		pl.contacts = append(pl.contacts, NewContact(PeerID(fmt.Sprint("node ", i))))
		pl.at = append(pl.at, [2]float64{rng.Float64() * width.Seconds(), rng.Float64() * width.Seconds()})
	}
	return pl
}

func (pl *vivaldiPlane) rtt(i, j int) time.Duration {
	a, b := pl.at[i], pl.at[j]
	return time.Duration(math.Hypot(a[0]-b[0], a[1]-b[1])*float64(time.Second)) + time.Millisecond
}

// run has every node measure, a number of times, one that is drawn at random.
func (pl *vivaldiPlane) run(seed uint64, rounds int) {
	rng := rand.New(rand.NewPCG(seed, 99))
	for range rounds {
		for i, v := range pl.nodes {
			if j := rng.IntN(len(pl.nodes)); j != i {
				v.Observe(pl.contact(j), pl.rtt(i, j))
			}
		}
	}
}

// contact returns the contact of node j with its present coordinate.
func (pl *vivaldiPlane) contact(j int) *Contact {
	c := *pl.contacts[j]
	c.Coord = pl.nodes[j].Coordinate()
	return &c
}

func TestVivaldiConverges(t *testing.T) {
	for _, width := range []time.Duration{5 * time.Millisecond, 200 * time.Millisecond} {
		t.Run(width.String(), func(t *testing.T) {
			pl := newVivaldiPlane(1, 40, width)
			pl.run(1, 200)
			var errs []float64
			for i, v := range pl.nodes {
				for j := range pl.nodes {
					if i == j {
						continue
					}
					got, ok := v.Distance(pl.contact(j), 0)
					if !ok {
						t.Fatalf("node %d cannot predict the round trip to %d", i, j)
					}
					want := pl.rtt(i, j).Seconds()
					errs = append(errs, math.Abs(got.Seconds()-want)/want)
				}
			}
			slices.Sort(errs)
			if got, want := errs[len(errs)/2], 0.3; got > want {
				t.Errorf("median relative error is %.2f, want at most %.2f", got, want)
			}
		})
	}
}

func TestVivaldiIsDeterministic(t *testing.T) {
	coords := func() (out [][]float32) {
		pl := newVivaldiPlane(7, 10, 50*time.Millisecond)
		pl.run(7, 50)
		for _, v := range pl.nodes {
			out = append(out, v.Coordinate())
		}
		return out
	}
	if diff := cmp.Diff(coords(), coords()); diff != "" {
		t.Errorf("coordinates differ between two runs (-first +second):\n%s", diff)
	}
}

// TestVivaldiDoesWithoutGlobalRandomness puts points where serf would draw a
// direction from the global source, which differs from run to run: on top of
// each other, and at the origin.
func TestVivaldiDoesWithoutGlobalRandomness(t *testing.T) {
	for _, tc := range []struct {
		name  string
		place func(v *Vivaldi) (other []float32)
	}{
		{"on top of the other", func(v *Vivaldi) []float32 { return v.Coordinate() }},
		{"next to the other", func(v *Vivaldi) []float32 {
			c := slices.Clone(v.Coordinate())
			c[0] += 0.5e-6
			return c
		}},
		{"at the origin", func(v *Vivaldi) []float32 {
			v.own = coordinate.NewCoordinate(v.config)
			if err := v.client.SetCoordinate(v.own); err != nil {
				t.Fatal(err)
			}
			return flatten(v.origin)
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			run := func() []float32 {
				v := NewVivaldi("", 0, rand.New(rand.NewPCG(3, 3)))
				c := NewContact("other")
				for range 5 {
					c.Coord = tc.place(v)
					v.Observe(c, 10*time.Millisecond)
				}
				return flatten(v.own)
			}
			if diff := cmp.Diff(run(), run()); diff != "" {
				t.Errorf("coordinates differ between two runs (-first +second):\n%s", diff)
			}
		})
	}
}

// TestVivaldiAgreesWithSerf has the prediction, which does not allocate, equal
// that of the library.
func TestVivaldiAgreesWithSerf(t *testing.T) {
	pl := newVivaldiPlane(5, 10, 100*time.Millisecond)
	pl.run(5, 100)
	for i, v := range pl.nodes {
		for j := range pl.nodes {
			c := pl.contact(j)
			other := coordinate.NewCoordinate(v.config)
			expand(c.Coord, other)
			got, ok := v.Distance(c, 0)
			want := v.client.GetCoordinate().DistanceTo(other)
			if diff := got - want; !ok || diff < -time.Nanosecond || diff > time.Nanosecond {
				t.Errorf("from %d to %d: %v, %t, want %v", i, j, got, ok, want)
			}
		}
	}
}

func TestVivaldiDistance(t *testing.T) {
	certain := []float32{0.03, 0, 0, 0, 0, 0, 0, 0, 0.2, 0, 0.001}
	doubtful := slices.Clone(certain)
	doubtful[coordError] = maxPredictError
	settled := coordinate.NewCoordinate(coordinate.DefaultConfig())
	settled.Error = 0.1
	settled.Vec[1] = 0.04
	const predicted = 51010 * time.Microsecond // 50 ms on the plane and the heights
	const tolerance = time.Microsecond
	for _, tc := range []struct {
		name         string
		own, other   string // regions
		factor       float64
		coord        []float32
		unsettled    bool
		rtt          time.Duration
		want         time.Duration
		wantNoGround bool
	}{
		{name: "measured", rtt: time.Millisecond, want: time.Millisecond},
		{name: "measured before predicted", coord: certain, rtt: time.Millisecond, want: time.Millisecond},
		{name: "predicted", coord: certain, want: predicted},
		{name: "unknown", wantNoGround: true},
		{name: "other uncertain", coord: doubtful, wantNoGround: true},
		{name: "own uncertain", coord: certain, unsettled: true, wantNoGround: true},
		{name: "another metric's coordinate", coord: []float32{1, 2}, wantNoGround: true},
		{name: "same region", own: "eu", other: "eu", rtt: time.Millisecond, want: time.Millisecond},
		{name: "own region unknown", other: "us", rtt: time.Millisecond, want: time.Millisecond},
		{name: "other region unknown", own: "eu", rtt: time.Millisecond, want: time.Millisecond},
		{name: "regions differ", own: "eu", other: "us", rtt: time.Millisecond, want: 5 * time.Millisecond},
		{name: "factor", own: "eu", other: "us", factor: 1.5, rtt: 2 * time.Millisecond, want: 3 * time.Millisecond},
		{name: "factor one", own: "eu", other: "us", factor: 1, rtt: time.Millisecond, want: time.Millisecond},
		{name: "regions differ, predicted", own: "eu", other: "us", factor: 2, coord: certain, want: 2 * predicted},
	} {
		t.Run(tc.name, func(t *testing.T) {
			v := NewVivaldi(tc.own, tc.factor, rand.New(rand.NewPCG(1, 1)))
			if !tc.unsettled {
				v.own = settled
			}
			c := NewContact("other")
			c.Region, c.Coord = tc.other, tc.coord
			got, ok := v.Distance(c, tc.rtt)
			if ok == tc.wantNoGround || (got-tc.want).Abs() > 2*tolerance {
				t.Errorf("Distance = %v, %t, want %v, %t", got, ok, tc.want, !tc.wantNoGround)
			}
		})
	}
}

func TestVivaldiBetween(t *testing.T) {
	a, b := []float32{0.03, 0, 0, 0, 0, 0, 0, 0, 0.2, 0, 0.001}, []float32{0, 0.04, 0, 0, 0, 0, 0, 0, 0.9, 0.002, 0.003}
	doubtful := slices.Clone(b)
	doubtful[coordError] = maxPredictError
	sunk := slices.Clone(b)
	sunk[coordAdjust] = -9
	for _, tt := range []struct {
		name   string
		a, b   []float32
		want   time.Duration
		ground bool
	}{
		{"vectors, heights and adjustments", a, b, 56 * time.Millisecond, true},
		{"with itself", a, a, 2 * time.Millisecond, true},
		{"adjusted below nothing", a, sunk, 54 * time.Millisecond, true},
		{"one uncertain", a, doubtful, 0, false},
		{"one missing", a, nil, 0, false},
		{"another metric's", []float32{1, 2}, []float32{3, 4}, 0, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := NewVivaldi("eu", 7, rand.New(rand.NewPCG(1, 1)))
			for _, pair := range [][2][]float32{{tt.a, tt.b}, {tt.b, tt.a}} {
				got, ok := v.Between(pair[0], pair[1])
				if ok != tt.ground || (got-tt.want).Abs() > 10*time.Microsecond {
					t.Errorf("Between = %v, %t, want %v, %t", got, ok, tt.want, tt.ground)
				}
			}
		})
	}
}

// TestVivaldiBetweenIsDistance compares what a third node makes of two coordinates with
// what the one of them makes of the other.
func TestVivaldiBetweenIsDistance(t *testing.T) {
	pl := newVivaldiPlane(1, 20, 50*time.Millisecond)
	pl.run(1, 200)
	for i := 1; i < 20; i++ {
		c := pl.contact(i)
		want, _ := pl.nodes[0].Distance(c, 0)
		got, ok := pl.nodes[5].Between(pl.contact(0).Coord, c.Coord)
		if off := float64(got-want) / float64(want); !ok || math.Abs(off) > 2*noticeableShare+noticeable/want.Seconds() {
			t.Errorf("to node %d: Between = %v, %t, Distance = %v", i, got, ok, want)
		}
	}
}

func TestVivaldiIgnoresInvalidCoordinates(t *testing.T) {
	valid := []float32{0.1, 0, 0, 0, 0, 0, 0, 0, 0.2, 0, 0.001}
	with := func(i int, x float64) []float32 {
		c := slices.Clone(valid)
		c[i] = float32(x)
		return c
	}
	for _, tc := range []struct {
		name  string
		coord []float32
	}{
		{"none", nil},
		{"too short", valid[:coordLen-1]},
		{"too long", append(slices.Clone(valid), 0)},
		{"not a number", with(3, math.NaN())},
		{"infinite", with(0, math.Inf(1))},
		{"infinite height", with(coordHeight, math.Inf(1))},
		{"far outside", with(0, -1e9)},
		{"certain beyond reason", with(coordError, -1)},
		{"height below ground", with(coordHeight, -0.001)},
		{"adjusted away", with(coordAdjust, -1e6)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			v := NewVivaldi("", 0, rand.New(rand.NewPCG(1, 1)))
			v.own.Error = 0.1
			before := flatten(v.own)
			c := NewContact("other")
			c.Coord = tc.coord
			v.Observe(c, 20*time.Millisecond)
			if diff := cmp.Diff(flatten(v.own), before); diff != "" {
				t.Errorf("coordinate moved (-got +want):\n%s", diff)
			}
			if d, ok := v.Distance(c, 0); ok {
				t.Errorf("Distance = %v, want no ground for it", d)
			}
		})
	}
}

// TestVivaldiTakesAnyRoundTrip feeds round trips that serf would refuse, from
// nodes that claim the strangest valid places.
func TestVivaldiTakesAnyRoundTrip(t *testing.T) {
	v := NewVivaldi("", 0, rand.New(rand.NewPCG(1, 1)))
	rng := rand.New(rand.NewPCG(2, 2))
	rtts := []time.Duration{-time.Hour, 0, 1, time.Minute, math.MaxInt64, math.MinInt64}
	c := NewContact("other")
	for i := range 2000 {
		coord := make([]float32, coordLen)
		for k := range coord {
			coord[k] = float32(rng.IntN(3)-1) * 10
		}
		coord[coordError], coord[coordHeight] = float32(rng.IntN(2)), float32(rng.IntN(2)*10)
		c.Coord = coord
		v.Observe(c, rtts[i%len(rtts)])
		if !validCoord(v.Coordinate()) || !validCoord(flatten(v.own)) {
			t.Fatalf("after %d round trips the coordinate is %v", i, v.own)
		}
	}
}

func TestVivaldiRemembersNobody(t *testing.T) {
	pl := newVivaldiPlane(1, 2, 10*time.Millisecond)
	v, c := pl.nodes[0], pl.contact(1)
	i := 0
	if got := testing.AllocsPerRun(1000, func() {
		i++
		c.Peer = PeerID(strconv.Itoa(i))
		v.Observe(c, time.Millisecond)
	}); got > 40 {
		t.Errorf("a round trip costs %v allocations", got)
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range 100_000 {
		c.Peer = PeerID(strconv.Itoa(i))
		v.Observe(c, time.Millisecond)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if got := int64(after.HeapAlloc) - int64(before.HeapAlloc); got > 1<<20 {
		t.Errorf("the round trips of 100,000 nodes leave %d bytes behind", got)
	}
	runtime.KeepAlive(v)
}

func TestVivaldiCoordinateIsStable(t *testing.T) {
	pl := newVivaldiPlane(1, 2, 10*time.Millisecond)
	v := pl.nodes[0]
	first := v.Coordinate()
	copied := slices.Clone(first)
	pl.run(1, 300)
	if cmp.Equal(v.Coordinate(), first) {
		t.Error("the coordinate has not changed, want it to")
	}
	if diff := cmp.Diff(first, copied); diff != "" {
		t.Errorf("a coordinate that was returned has changed (-got +want):\n%s", diff)
	}
	last := v.Coordinate()
	v.Observe(pl.contact(1), pl.rtt(0, 1))
	if again := v.Coordinate(); &again[0] != &last[0] {
		t.Errorf("at rest the coordinate is %v after %v, want the same slice", again, last)
	}
}

// TestVivaldiTellsMoves has a node's place change: others are told of more than a 64th
// of the usual round trip, and of 50 µs where round trips are short.
func TestVivaldiTellsMoves(t *testing.T) {
	const us = 1e-6
	for _, tt := range []struct {
		name  string
		usual time.Duration
		by    coordinate.Coordinate // change of what the node has
		want  bool
	}{
		{"far, a little", 64 * time.Millisecond, coordinate.Coordinate{Vec: []float64{990 * us}}, false},
		{"far, enough", 64 * time.Millisecond, coordinate.Coordinate{Vec: []float64{1010 * us}}, true},
		{"far, a little up", 64 * time.Millisecond, coordinate.Coordinate{Height: 990 * us}, false},
		{"far, enough up", 64 * time.Millisecond, coordinate.Coordinate{Height: 1010 * us}, true},
		{"far, enough in sum", 64 * time.Millisecond, coordinate.Coordinate{Vec: []float64{400 * us}, Height: 400 * us, Adjustment: -400 * us}, true},
		{"farther, as much", 128 * time.Millisecond, coordinate.Coordinate{Vec: []float64{1010 * us}}, false},
		{"near, a little", 200 * time.Microsecond, coordinate.Coordinate{Vec: []float64{45 * us}}, false},
		{"near, enough", 200 * time.Microsecond, coordinate.Coordinate{Vec: []float64{55 * us}}, true},
		{"far, surer", 64 * time.Millisecond, coordinate.Coordinate{Error: -0.06}, true},
		{"far, hardly surer", 64 * time.Millisecond, coordinate.Coordinate{Error: -0.04}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := NewVivaldi("", 0, rand.New(rand.NewPCG(1, 1)))
			v.own.Error, v.usual = 0.3, tt.usual.Seconds()
			v.told = flatten(v.own)
			before := v.Coordinate()
			for i, by := range tt.by.Vec {
				v.own.Vec[i] += by
			}
			v.own.Height += tt.by.Height
			v.own.Adjustment += tt.by.Adjustment
			v.own.Error += tt.by.Error
			v.tell()
			after := v.Coordinate()
			if told := &after[0] != &before[0]; told != tt.want {
				t.Errorf("others are told: %t, want %t", told, tt.want)
			}
			if diff := cmp.Diff(after, flatten(v.own)); tt.want && diff != "" {
				t.Errorf("others are not told where the node is (-got +want):\n%s", diff)
			}
		})
	}
}

// TestVivaldiAtLongRoundTrips has round trips of 64 ms to a node that moves away by
// 20 µs from one to the next. What others are told of the node is never more than 1 ms
// off, and a move by less is not told.
func TestVivaldiAtLongRoundTrips(t *testing.T) {
	v, c := NewVivaldi("", 0, rand.New(rand.NewPCG(4, 1))), NewContact("other")
	off := func(coord []float32) float64 {
		at := coordinate.NewCoordinate(v.config)
		expand(coord, at)
		return separation(v.own.Vec, at.Vec) + math.Abs(v.own.Height-at.Height) + math.Abs(v.own.Adjustment-at.Adjustment)
	}
	told := 0
	for i := range 3000 {
		c.Coord = []float32{0.04 + 20e-6*float32(i), 0, 0, 0, 0, 0, 0, 0, 0.2, 0, 0.001}
		before := v.Coordinate()
		v.Observe(c, 64*time.Millisecond)
		after := v.Coordinate()
		if i < 500 {
			continue // until it has found its place, and knows what is usual
		}
		if got := off(after); got > 1.01e-3 {
			t.Fatalf("after %d round trips the node is %.2f ms from where others are told", i, got*1e3)
		}
		if &after[0] == &before[0] {
			continue
		}
		told++
		if got := off(before); got < 0.99e-3 && math.Abs(v.own.Error-float64(before[coordError])) <= noticeableError {
			t.Fatalf("after %d round trips a move of %.2f ms is told, want only of 1 ms or more", i, got*1e3)
		}
	}
	if told < 20 || told > 60 {
		t.Errorf("%d moves were told, want about one for every 50 round trips", told)
	}
}

func TestVivaldiDistanceDoesNotAllocate(t *testing.T) {
	pl := newVivaldiPlane(1, 2, 10*time.Millisecond)
	pl.run(1, 100)
	c := pl.contact(1)
	own := pl.nodes[0].Coordinate()
	if got := testing.AllocsPerRun(100, func() { pl.nodes[0].Distance(c, 0); pl.nodes[0].Between(own, c.Coord) }); got != 0 {
		t.Errorf("Distance and Between allocate %v times, want 0", got)
	}
}

func BenchmarkVivaldi(b *testing.B) {
	pl := newVivaldiPlane(1, 2, 10*time.Millisecond)
	pl.run(1, 100)
	v, c, rtt := pl.nodes[0], pl.contact(1), pl.rtt(0, 1)
	b.Run("Observe", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			v.Observe(c, rtt)
		}
	})
	b.Run("Distance", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			v.Distance(c, 0)
		}
	})
}
