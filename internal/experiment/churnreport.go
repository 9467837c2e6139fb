package experiment

import (
	"fmt"
	"slices"
	"time"
)

// MSPastry's figures for 10,000 nodes under Poisson churn, as recalled from
// Castro, Costa and Rowstron (DSN 2004), not read off: the share of lookups lost
// and wrong at most, with and without network loss, and bounds of its abstract. Its
// control traffic has acknowledgements in it, as recalled, too.
const (
	mspastryLoss        = 1.6e-5
	mspastryLossAt5     = 3.3e-5
	mspastryWrongAt5    = 1.6e-5
	mspastryStretch     = 2
	mspastryControl     = 0.5
	mspastryGnutella    = 0.24 // control messages a second and node at sessions of mspastryGnutellaAge
	mspastryGnutellaAge = 138  // minutes
)

// ChurnReport is what the churn experiment measured.
type ChurnReport struct {
	Header
	Session float64 `json:"session_seconds"`
	Warmup  float64 `json:"warmup_seconds"`
	Loss    float64 `json:"packet_loss"`
	Rate    float64 `json:"lookups_per_second_and_node"`
	Leave   float64 `json:"leave_share"`
	TTL     float64 `json:"ttl_seconds"`
	Seconds float64 `json:"measured_seconds"` // virtual time in which lookups were sent
	Lookups
	Coming
	Traffic
}

// Rows returns the report as a table.
func (r *ChurnReport) Rows() []Row {
	rows := append([]Row{
		{Name: "mean session", Value: seconds(r.Session).String()},
		{Name: "packets lost", Value: fmt.Sprintf("%g", r.Loss)},
		{Name: "measured", Value: seconds(r.Seconds).Round(time.Second).String()},
	}, r.Lookups.rows()...)
	wrong, lost := "0 (recalled)", fmt.Sprintf("%.2g (recalled)", mspastryLoss)
	if r.Loss > 0 {
		wrong, lost = fmt.Sprintf("%.2g at 5%% (recalled)", mspastryWrongAt5), fmt.Sprintf("%.2g at 5%% (recalled)", mspastryLossAt5)
	}
	for i := range rows {
		switch rows[i].Name {
		case "wrong deliveries":
			rows[i].Paper = wrong
		case "lookups lost":
			rows[i].Paper = lost
		case "delay over direct, of sums":
			if r.likeTraces() {
				rows[i].Paper = fmt.Sprintf("under %d", mspastryStretch)
			}
		}
	}
	control := ""
	if r.likeTraces() {
		control = fmt.Sprintf("under %g; %g (recalled)", mspastryControl, mspastryGnutella)
	}
	rows = append(rows, r.Traffic.rows(control)...)
	return slices.Concat(rows, r.Coming.rows(), r.Lookups.remarks())
}

// likeTraces reports whether sessions are as long as in the Gnutella trace, and no packet
// is lost: MSPastry's bounds are of real traces.
func (r *ChurnReport) likeTraces() bool {
	return r.Loss == 0 && seconds(r.Session) == mspastryGnutellaAge*time.Minute
}

// rows returns who came and went for people.
func (c *Coming) rows() []Row {
	return []Row{
		{Name: "nodes that came, that became active", Value: fmt.Sprintf("%d, %d", c.Arrived, c.Joined)},
		{Name: "nodes that went", Value: fmt.Sprintf("%d silently, %d with notice", c.Crashed, c.Left)},
		{Name: "joiners told of another member", Value: fmt.Sprint(c.Retold)},
		{Name: "time to join p50, p90, p99, most", Value: fmt.Sprintf("%.2f, %.2f, %.2f, %.2f s", c.JoinP50, c.JoinP90, c.JoinP99, c.JoinMost)},
	}
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// churnFigures draws what depends on the mean session, a series for every size of the
// ring, share of packets lost and whatever else the runs differ in.
func churnFigures(reports []Report) []Figure {
	x := "mean session, minutes"
	horizontal := func(name string, y float64) Series {
		return Series{Name: name, Paper: true, Points: []Point{{5, y}, {600, y}}}
	}
	traces := func(name string, y float64) Series {
		return Series{Name: name, Paper: true, Points: []Point{{mspastryGnutellaAge, y}}}
	}
	by := func(name string, value func(r *ChurnReport) float64) []Series { return bySession(reports, name, value) }
	lost := append(by("lost at most, with 95% confidence", func(r *ChurnReport) float64 { return r.LossBound }),
		by("lost", func(r *ChurnReport) float64 { return r.LossRate })...)
	wrong := append(by("wrong at most, with 95% confidence", func(r *ChurnReport) float64 { return r.WrongBound }),
		by("wrong", func(r *ChurnReport) float64 { return r.WrongRate })...)
	stretch := append(by("of sums", func(r *ChurnReport) float64 { return r.Stretch }),
		by("mean of ratios", func(r *ChurnReport) float64 { return r.RDP })...)
	control := append(by("control", func(r *ChurnReport) float64 { return r.Control }),
		by("with acknowledgements and resends", func(r *ChurnReport) float64 { return r.ControlAndAcks })...)
	return []Figure{
		{Name: "churn-loss", Title: "Lookups lost under churn", X: x, Y: "share of lookups", LogX: true, LogY: true,
			Series: append(lost, horizontal("MSPastry, no loss (recalled)", mspastryLoss), horizontal("MSPastry, 5% loss (recalled)", mspastryLossAt5))},
		{Name: "churn-wrong", Title: "Wrong deliveries under churn", X: x, Y: "share of lookups", LogX: true, LogY: true,
			Series: append(wrong, horizontal("MSPastry, 5% loss (recalled)", mspastryWrongAt5))},
		{Name: "churn-delay", Title: "Delay of a lookup over the direct delay", X: x, Y: "delay over direct", LogX: true,
			Series: append(stretch, traces("MSPastry, real traces: under", mspastryStretch))},
		{Name: "churn-control", Title: "Control traffic under churn", X: x, Y: "packets a second and node", LogX: true, LogY: true,
			Series: append(control, traces("MSPastry, with acknowledgements, real traces: under", mspastryControl),
				traces("MSPastry, with acknowledgements, Gnutella trace (recalled)", mspastryGnutella))},
	}
}

// bySession returns a curve for all runs that differ in nothing but the session.
func bySession(reports []Report, name string, value func(r *ChurnReport) float64) []Series {
	var g group
	own := apart(reports, "session", "nodes", "loss", "perfect")
	for _, r := range reportsOf[*ChurnReport](reports) {
		g.add(r.named(fmt.Sprintf("%s, %d nodes, %g%% of packets lost%s", name, r.Nodes, 100*r.Loss, own(r.Head()))),
			Point{seconds(r.Session).Minutes(), value(r)})
	}
	return g.curves()
}
