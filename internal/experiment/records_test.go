package experiment

import (
	"context"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/secondbit/pastry/internal/records"
)

// smallDurability returns a run that takes a second or so.
func smallDurability(change func(*Durability)) *Durability {
	d := newDurability()
	d.Nodes, d.Records, d.For, d.Session, d.Sample = 40, 300, 30*time.Minute, 20*time.Minute, time.Minute
	if change != nil {
		change(d)
	}
	return d
}

// TestRecordsNoneLost has members come and go in several ways. Nothing that was
// acknowledged may be lost, nothing that is there may be said not to be, and in
// the end every record is on its r members and nowhere else.
func TestRecordsNoneLost(t *testing.T) {
	long(t)
	t.Parallel()
	for _, tt := range []struct {
		name   string
		change func(*Durability)
	}{
		{"all crash", nil},
		{"all leave", func(d *Durability) { d.Leave = 1 }},
		{"half leave, packets are lost", func(d *Durability) { d.Leave, d.Loss = 0.5, 0.02 }},
		{"short sessions", func(d *Durability) { d.Session, d.For = 8*time.Minute, 15*time.Minute }},
		{"five replicas", func(d *Durability) { d.Replicas = 5 }},
		{"more replicas than members", func(d *Durability) { d.Nodes, d.Replicas = 6, 8 }},
		{"a leaf set of twice the replicas", func(d *Durability) { d.LeafSet, d.For = 16, 10*time.Minute }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := run[*DurabilityReport](t, smallDurability(tt.change))
			if r.Lost > 0 || len(r.LostRecords) > 0 {
				t.Errorf("%d records lost:\n%s", r.Lost, strings.Join(r.LostRecords, "\n"))
			}
			if len(r.Incidents) > 0 || r.ReadsMissed > 0 {
				t.Errorf("%d look-ups missed, incidents:\n%s", r.ReadsMissed, strings.Join(r.Incidents, "\n"))
			}
			if r.Misplaced > 0 {
				t.Errorf("%d records are not where they belong after %v s", r.Misplaced, r.Settled)
			}
			if r.Acknowledged < r.Records*98/100 || r.ReadsFound < r.Reads*99/100 || r.Reads == 0 {
				t.Errorf("%d of %d records acknowledged, %d of %d look-ups found", r.Acknowledged, r.Records, r.ReadsFound, r.Reads)
			}
			if r.Crashed+r.Left == 0 || r.Arrived == 0 || r.Fetched == 0 {
				t.Errorf("nothing has happened: %+v", r)
			}
		})
	}
}

// TestRecordsLost takes away what keeps the records: the oracle must notice.
func TestRecordsLost(t *testing.T) {
	long(t)
	t.Parallel()
	for _, tt := range []struct {
		name   string
		change func(*Durability)
		some   float64 // share of the records that are lost, at least
	}{
		{"one replica", func(d *Durability) { d.Replicas = 1 }, 0.5},
		{"no repair", func(d *Durability) { d.Repair, d.For = false, time.Hour }, 0.3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := smallDurability(tt.change)
			r := run[*DurabilityReport](t, d)
			if r.Acknowledged < r.Records*98/100 {
				t.Errorf("%d of %d records acknowledged", r.Acknowledged, r.Records)
			}
			if got := float64(r.Lost) / float64(r.Acknowledged); got < tt.some {
				t.Errorf("share lost is %.3f, want at least %.2f", got, tt.some)
			}
			if got := len(r.LostRecords); got != maxIncidents {
				t.Errorf("%d losses are described, want %d", got, maxIncidents)
			}
			if !strings.Contains(r.LostRecords[0], "seed 1: record ") || !strings.Contains(r.LostRecords[0], "crashed after") {
				t.Errorf("a loss is described as %q", r.LostRecords[0])
			}
			if r.FewestCopies != 0 || r.ReadsFailed == 0 {
				t.Errorf("fewest copies are %d, %d look-ups failed", r.FewestCopies, r.ReadsFailed)
			}
		})
	}
}

// TestRecordsDeterministic runs the same seed twice, and another.
func TestRecordsDeterministic(t *testing.T) {
	long(t)
	t.Parallel()
	report := func(seed uint64) *DurabilityReport {
		d := smallDurability(func(d *Durability) { d.Leave, d.Loss, d.For = 0.3, 0.01, 8*time.Minute })
		d.Seed = seed
		return run[*DurabilityReport](t, d)
	}
	first := report(5)
	checkSame(t, first, report(5))
	if report(6).PacketRate == first.PacketRate {
		t.Error("another seed gives the same report")
	}
}

// TestRecordsQuiet counts the calls of a ring in which nothing happens: with r=8
// each member compares with 14 others every ten minutes, a question of one arc and
// an empty answer, and moves nothing.
func TestRecordsQuiet(t *testing.T) {
	t.Parallel()
	d := smallDurability(func(d *Durability) { d.Session = 1e6 * time.Hour })
	r := run[*DurabilityReport](t, d)
	want := 14 * float64(d.Nodes) * 3 // in half an hour
	if got := float64(r.Compares); math.Abs(got-want) > want/10 {
		t.Errorf("%v comparisons, want about %v", got, want)
	}
	if r.Fetches+r.Stores+r.Given+r.Fetched+r.Dropped != 0 || r.MovedRate != 0 {
		t.Errorf("something moved: %+v", r)
	}
	if r.Acknowledged != r.Records || r.UnderReplicated != 0 || r.FewestCopies != 8 || r.Lost != 0 || r.Misplaced != 0 || r.Settled != 0 {
		t.Errorf("something is amiss: %+v", r)
	}
	if each := r.CompareRate * r.For * r.MeanMembers / float64(r.Compares); each < 50 || each > 100 {
		t.Errorf("a comparison takes %.1f bytes, want 50 to 100", each)
	}
}

// TestRecordsAccounts holds what is reported against itself and against what the
// members hold.
func TestRecordsAccounts(t *testing.T) {
	long(t)
	t.Parallel()
	d := smallDurability(func(d *Durability) { d.Leave = 0.2 })
	a := newArchive(d)
	world, err := d.build(t.Context(), nil, a.configure)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.begin(t.Context(), world); err != nil {
		t.Fatal(err)
	}
	for _, stage := range []func(context.Context, *Progress) error{a.fill, a.churn, a.settle} {
		if err := stage(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		live := make([]int, d.Records)
		for _, k := range a.keepers {
			if k != nil {
				k.held.Ascend(records.WholeRing, func(e records.Entry) bool {
					live[e.Tag]++
					return true
				})
			}
		}
		for rec, want := range live {
			if got := a.copies.of[rec].live; got != want {
				t.Fatalf("record %d: the oracle counts %d copies, there are %d", rec, got, want)
			}
		}
	}
	if len(a.errands) > d.Nodes || len(a.routed) > len(a.errands) {
		t.Errorf("%d calls are waited for, %d of them routed", len(a.errands), len(a.routed))
	}
	checkAccounts(t, a, a.report(time.Now()))
}

func checkAccounts(t *testing.T, a *archive, r *DurabilityReport) {
	t.Helper()
	sum := 0.0
	for _, share := range r.CopiesShare {
		sum += share
	}
	if math.Abs(sum-1) > 1e-9 {
		t.Errorf("the shares of the numbers of copies add up to %v", sum)
	}
	if got, want := r.RepairRate, r.MovedRate+r.CompareRate; math.Abs(got-want) > 1e-9 {
		t.Errorf("repair takes %v bytes/s, its parts %v", got, want)
	}
	moved := r.MovedRate * a.members
	if least, most := float64(r.Given+r.Fetched)*float64(r.Size), float64(r.Given+r.Fetched)*float64(r.Size+40); moved < least*0.95 || moved > most*1.1 {
		t.Errorf("%.0f bytes carried records, want %.0f to %.0f", moved, least, most)
	}
	if r.Again > r.Given+r.Fetched {
		t.Errorf("%d records moved in vain, %d in all", r.Again, r.Given+r.Fetched)
	}
	if got, want := len(r.Hours), int(a.For/a.Sample); got != want || len(r.Under) != want || len(r.Moved) != want {
		t.Errorf("%d samples, want %d", got, want)
	}
	if r.Repairs == 0 || r.RepairP50 > r.RepairP90 || r.RepairP90 > r.RepairP99 || r.RepairP99 > r.RepairMost || r.RepairMost > 120 {
		t.Errorf("%d repairs took %v, %v, %v, %v s", r.Repairs, r.RepairP50, r.RepairP90, r.RepairP99, r.RepairMost)
	}
}

// TestRecordsRefuse refuses parameters at once, all of them.
func TestRecordsRefuse(t *testing.T) {
	d := newDurability()
	d.Nodes, d.Replicas, d.Records, d.Size, d.Leave, d.Session = 0, 13, 0, 0, 2, 0
	_, err := d.Run(t.Context(), nil)
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"-nodes is 0", "-replicas is 13, must be 1 to 12", "-records is 0", "-size is 0", "-leave is 2", "-session is 0s"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q:\n%v", want, err)
		}
	}
}

// TestRecordsCancelled stops a run.
func TestRecordsCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	p := &Progress{Update: func(stage string, _ float64, _ time.Duration) {
		if strings.Contains(stage, "churn") {
			cancel()
		}
	}}
	d := smallDurability(func(d *Durability) { d.Nodes, d.For = 20, 1000*time.Hour })
	if _, err := d.Run(ctx, p); !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v", err)
	}
}

// TestRecordsFigures draws one run, and several.
func TestRecordsFigures(t *testing.T) {
	report := func(minutes float64) Report {
		return &DurabilityReport{
			Replicas: 8, Session: 60 * minutes, MovedRate: 100 / minutes, CompareRate: 50 / minutes,
			Hours: []float64{1, 2}, MeanCopies: []float64{8, 8}, LeastCopies: []int{7, 8}, Under: []float64{0, 0.1},
			Moved: []float64{1, 2}, Compared: []float64{3, 4},
		}
	}
	names := func(figures []Figure) (names []string) {
		for _, f := range figures {
			names = append(names, f.Name)
			for _, s := range f.Series {
				if len(s.Points) != 2 {
					t.Errorf("%s, %s: %d points, want 2", f.Name, s.Name, len(s.Points))
				}
			}
		}
		return names
	}
	if d := cmp.Diff(names(durabilityFigures([]Report{report(60)})), []string{"records-copies", "records-under", "records-bytes"}); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(names(durabilityFigures([]Report{report(60), report(30)})), []string{"records-copies", "records-under", "records-bytes", "records-cost"}); d != "" {
		t.Error(d)
	}
}

// TestCopies follows one record through the oracle.
func TestCopies(t *testing.T) {
	c := newCopies(3, 2)
	at := func(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
	for rec := range 2 {
		c.gain(rec, at(1))
		c.gain(rec, at(1))
		c.of[rec].acked = true
	}
	c.gain(2, at(1)) // not acknowledged
	c.watch(at(10))
	c.lose(0, at(12), 7, "crashed")
	if got := c.low(); got != 1 {
		t.Errorf("%d records have too few copies, want 1", got)
	}
	c.gain(0, at(15))
	c.lose(1, at(16), 8, "left")
	c.lose(1, at(16), 9, "crashed")
	c.lose(2, at(17), 9, "crashed")
	if mean, least := c.moment(); mean != 1 || least != 0 {
		t.Errorf("mean is %v, least is %d, want 1 and 0", mean, least)
	}
	c.unwatch(at(20))
	if !reflect.DeepEqual(c.repairs, []time.Duration{at(3)}) || c.fewest != 0 {
		t.Errorf("repairs took %v, fewest are %d", c.repairs, c.fewest)
	}
	if got, want := c.shares(), []float64{0.2, 0.15, 0.65}; math.Abs(got[0]-want[0])+math.Abs(got[1]-want[1])+math.Abs(got[2]-want[2]) > 1e-9 {
		t.Errorf("shares are %v, want %v", got, want)
	}
	if got := c.lost(); !reflect.DeepEqual(got, []int{1}) {
		t.Errorf("lost are %v, want [1]", got)
	}
	if got, want := c.of[1].obituary(), "node 8 left after 16s, node 9 crashed after 16s"; got != want {
		t.Errorf("obituary is %q, want %q", got, want)
	}
}
