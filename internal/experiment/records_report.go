package experiment

import (
	"fmt"
	"time"
)

// DurabilityReport is what became of the records.
type DurabilityReport struct {
	Header
	Replicas int     `json:"replicas"`
	Size     int     `json:"record_bytes"`
	Session  float64 `json:"session_seconds"`
	Leave    float64 `json:"leave_share"`
	For      float64 `json:"churn_seconds"`
	Repair   bool    `json:"repair"`

	Arrived     int     `json:"arrived"`
	Crashed     int     `json:"crashed"`
	Left        int     `json:"left"`
	MeanMembers float64 `json:"mean_members"`

	Records      int      `json:"records"`
	Acknowledged int      `json:"acknowledged"`
	Unwritten    int      `json:"unwritten"` // that could not be written after all tries; the writers of the rest were gone
	Lost         int      `json:"lost"`      // of those acknowledged
	LostRecords  []string `json:"lost_records,omitempty"`
	Incidents    []string `json:"incidents,omitempty"` // what goes wrong only where records have too few copies, the first such things

	UnderReplicated float64   `json:"under_replicated"` // share of the time that a record had fewer than r copies
	FewestCopies    int       `json:"fewest_copies"`    // that any record had at any time
	CopiesShare     []float64 `json:"copies_share"`     // of the time that a record had so many copies, from 0 up

	Repairs    int     `json:"repairs"` // times that a record came from fewer than r copies back to r
	RepairP50  float64 `json:"time_to_repair_p50_seconds"`
	RepairP90  float64 `json:"time_to_repair_p90_seconds"`
	RepairP99  float64 `json:"time_to_repair_p99_seconds"`
	RepairMost float64 `json:"time_to_repair_max_seconds"`
	LowAtEnd   int     `json:"under_replicated_at_end"`
	Settled    float64 `json:"settled_seconds"` // without churn, until each record was on its r members only
	Misplaced  int     `json:"misplaced"`       // records that were not, at the end

	MovedRate   float64 `json:"moved_bytes_per_second"`   // a member; calls and replies that carry records
	CompareRate float64 `json:"compare_bytes_per_second"` // a member; the other calls and replies of repair
	RepairRate  float64 `json:"repair_bytes_per_second"`  // a member; both
	ReadRate    float64 `json:"read_bytes_per_second"`    // a member
	PacketRate  float64 `json:"packets_per_second"`       // a member; of the overlay, those that carry calls included

	Compares     uint64 `json:"compare_calls"`
	Fetches      uint64 `json:"fetch_calls"`
	Stores       uint64 `json:"store_calls"`
	Given        uint64 `json:"records_given"`
	Fetched      uint64 `json:"records_fetched"`
	Again        uint64 `json:"records_moved_again"` // of those given and fetched, to where they were held already
	Dropped      uint64 `json:"records_dropped"`
	Syncs        uint64 `json:"syncs"`
	SyncsFailed  uint64 `json:"syncs_failed"`
	Hands        uint64 `json:"hands"`
	HandsFailed  uint64 `json:"hands_failed"`
	Pushes       uint64 `json:"pushes"`
	PushesFailed uint64 `json:"pushes_failed"`

	Reads       int `json:"reads"`
	ReadsFound  int `json:"reads_found"`
	ReadsMissed int `json:"reads_missed"` // answered that there is none
	ReadsFailed int `json:"reads_failed"`

	// A value for each sample.
	Hours       []float64 `json:"hours"`
	MeanCopies  []float64 `json:"mean_copies"`
	LeastCopies []int     `json:"least_copies"`
	Under       []float64 `json:"under_replicated_share"`
	Moved       []float64 `json:"moved_bytes_per_second_then"`
	Compared    []float64 `json:"compare_bytes_per_second_then"`
}

func (a *archive) report(began time.Time) *DurabilityReport {
	p, reads := &a.ended.postage, a.ended.reads
	r := &DurabilityReport{
		Header:   a.header("records", a.world, began),
		Replicas: a.Replicas, Size: a.Size, Session: a.Session.Seconds(), Leave: a.Leave, For: a.For.Seconds(), Repair: a.Repair,
		Arrived: a.ended.coming.Arrived, Crashed: a.ended.coming.Crashed, Left: a.ended.coming.Left, MeanMembers: a.members / a.For.Seconds(),
		Records: a.Records, Acknowledged: a.acked, Unwritten: a.written - a.acked, Incidents: a.incidents,
		FewestCopies: a.copies.fewest, CopiesShare: a.copies.shares(), LowAtEnd: a.ended.low,
		Settled: a.settled.Seconds(), Misplaced: a.misplaced,
		Compares: p.compares, Fetches: p.fetches, Stores: p.stores, Given: p.given, Fetched: p.fetched, Again: p.again, Dropped: p.dropped,
		Syncs: p.tasks[1], SyncsFailed: p.failed[1], Hands: p.tasks[2], HandsFailed: p.failed[2], Pushes: p.tasks[3], PushesFailed: p.failed[3],
		Reads: reads.all(), ReadsFound: reads.found, ReadsMissed: reads.missed, ReadsFailed: reads.failed,
	}
	for _, share := range r.CopiesShare[:min(a.Replicas, len(r.CopiesShare))] {
		r.UnderReplicated += share
	}
	rate := func(bytes uint64) float64 { return over(float64(bytes), a.members) }
	r.MovedRate, r.CompareRate, r.RepairRate = rate(p.moved), rate(p.compared()), rate(p.bytes[forRepair])
	r.ReadRate, r.PacketRate = rate(p.bytes[forRead]), rate(a.ended.packets)
	a.reportLost(r)
	a.reportRepairs(r)
	a.curve.report(r)
	r.Faults = append(r.Faults, a.faults...)
	return r
}

// reportLost describes the first records that are lost.
func (a *archive) reportLost(r *DurabilityReport) {
	lost := a.copies.lost()
	r.Lost = len(lost)
	for _, rec := range lost[:min(maxIncidents, len(lost))] {
		r.LostRecords = append(r.LostRecords, fmt.Sprintf("seed %d: record %d, key %v: %s",
			a.Seed, rec, a.records[rec].id.Key, a.copies.of[rec].obituary()))
	}
}

func (a *archive) reportRepairs(r *DurabilityReport) {
	took := a.copies.repairs
	r.Repairs = len(took)
	r.RepairP50, r.RepairP90 = rank(took, 0.5).Seconds(), rank(took, 0.9).Seconds()
	r.RepairP99, r.RepairMost = rank(took, 0.99).Seconds(), rank(took, 1).Seconds()
}

// Rows returns the report as a table.
func (r *DurabilityReport) Rows() []Row {
	rows := []Row{
		{Name: "records written, acknowledged", Value: fmt.Sprintf("%d, %d", r.Records, r.Acknowledged)},
		{Name: "records lost", Value: fmt.Sprint(r.Lost)},
		{Name: "members", Value: fmt.Sprintf("%.1f; %d came, %d crashed, %d left", r.MeanMembers, r.Arrived, r.Crashed, r.Left)},
		{Name: "fewest copies of a record, at any time", Value: fmt.Sprintf("%d of %d", r.FewestCopies, r.Replicas)},
		{Name: "time with fewer copies than r", Value: percent(r.UnderReplicated)},
		{Name: "time to be back at r copies, p50, p90, p99, max", Value: fmt.Sprintf("%.1f, %.1f, %.1f, %.1f s", r.RepairP50, r.RepairP90, r.RepairP99, r.RepairMost)},
		{Name: "bytes of repair a member", Value: fmt.Sprintf("%.1f/s: %.1f/s to move records, %.1f/s to compare", r.RepairRate, r.MovedRate, r.CompareRate)},
		{Name: "calls of repair a member", Value: fmt.Sprintf("%.3f/s", over(float64(r.Compares+r.Fetches+r.Stores), r.MeanMembers*r.For))},
		{Name: "packets of the overlay a member", Value: fmt.Sprintf("%.2f/s", r.PacketRate)},
		{Name: "records given, fetched, of both in vain, dropped", Value: fmt.Sprintf("%d, %d, %d, %d", r.Given, r.Fetched, r.Again, r.Dropped)},
		{Name: "comparisons, of them failed", Value: fmt.Sprintf("%d, %d", r.Syncs+r.SyncsFailed, r.SyncsFailed)},
		{Name: "look-ups: found, said not to be there, failed", Value: fmt.Sprintf("%d, %d, %d", r.ReadsFound, r.ReadsMissed, r.ReadsFailed)},
		{Name: "not on their r members alone, after the churn", Value: fmt.Sprintf("%d, after %.0f s", r.Misplaced, r.Settled)},
	}
	for _, lost := range r.LostRecords {
		rows = append(rows, Row{Name: "lost", Value: lost})
	}
	rows = append(rows, remarks("incident", r.Incidents)...)
	return rows
}

// curve is the course of a run, sampled.
type curve struct {
	began, next, every time.Duration
	members            float64 // member seconds since the last sample
	moved, compared    uint64  // up to the last sample
	samples            []sample
}

type sample struct {
	hours, mean, under float64
	least              int
	moved, compared    float64 // bytes a second and member
}

func (c *curve) add(a *archive) {
	mean, least := a.copies.moment()
	p := &a.postage
	c.samples = append(c.samples, sample{
		hours: (a.world.Now() - c.began).Hours(), mean: mean, least: least, under: over(float64(a.copies.low()), float64(a.acked)),
		moved:    over(float64(p.moved-c.moved), c.members),
		compared: over(float64(p.compared()-c.compared), c.members),
	})
	c.next += c.every
	c.members, c.moved, c.compared = 0, p.moved, p.compared()
}

func (c *curve) report(r *DurabilityReport) {
	for _, s := range c.samples {
		r.Hours = append(r.Hours, s.hours)
		r.MeanCopies, r.LeastCopies = append(r.MeanCopies, s.mean), append(r.LeastCopies, s.least)
		r.Under = append(r.Under, s.under)
		r.Moved, r.Compared = append(r.Moved, s.moved), append(r.Compared, s.compared)
	}
}

// durabilityFigures draws the course of each run, and of all together what
// repair costs by session time.
func durabilityFigures(reports []Report) []Figure {
	copies := Figure{Name: "records-copies", Title: "Copies of a record under churn", X: "hours", Y: "live copies"}
	under := Figure{Name: "records-under", Title: "Records with fewer than r copies", X: "hours", Y: "share"}
	bytes := Figure{Name: "records-bytes", Title: "Traffic of repair", X: "hours", Y: "bytes/s a member"}
	cost := Figure{Name: "records-cost", Title: "Traffic of repair by session time", X: "mean session, minutes", Y: "bytes/s a member", LogX: true, LogY: true}
	var costs group
	all := reportsOf[*DurabilityReport](reports)
	own, alike := apart(reports, "perfect"), apart(reports, "perfect", "session")
	for _, r := range all {
		name := func(what string) string { return r.named(what + own(r.Head())) }
		copies.Series = append(copies.Series, r.series(name("mean"), r.MeanCopies), r.series(name("fewest"), toFloats(r.LeastCopies)))
		under.Series = append(under.Series, r.series(name("all records"), r.Under))
		bytes.Series = append(bytes.Series, r.series(name("moving records"), r.Moved), r.series(name("comparing"), r.Compared))
		costs.add(r.named("moving records"+alike(r.Head())), Point{r.Session / 60, r.MovedRate})
		costs.add(r.named("comparing"+alike(r.Head())), Point{r.Session / 60, r.CompareRate})
	}
	figures := []Figure{copies, under, bytes}
	if len(all) > 1 {
		cost.Series = costs.curves()
		figures = append(figures, cost)
	}
	return figures
}

func toFloats(is []int) []float64 {
	out := make([]float64, len(is))
	for i, x := range is {
		out[i] = float64(x)
	}
	return out
}

// series returns one of the curves of a run.
func (r *DurabilityReport) series(name string, ys []float64) Series {
	s := Series{Name: name, Style: Step}
	for i, y := range ys {
		s.Points = append(s.Points, Point{r.Hours[i], y})
	}
	return s
}
