package pastry

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	metricsPrefix  = "libp2p_pastry_"
	collectTimeout = time.Second
)

// meter gives the node's metrics to Prometheus. Counters are read from the core
// when they are collected; only the hops of answers are counted as they come.
type meter struct {
	n    *Node
	hops prometheus.Histogram
	reg  prometheus.Registerer
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(metricsPrefix+name, help, labels, nil)
}

var (
	descEntries  = desc("table_entries", "Contacts in the routing table, spares included, by row.", "row")
	descLeaves   = desc("leaves", "Members of the leaf set, by side.", "side")
	descHood     = desc("neighborhood", "Members of the neighborhood set.")
	descSize     = desc("ring_size", "Nodes in the ring, estimated from the leaf set's density.")
	descState    = desc("active", "1 while the node is an active member, 0 otherwise.")
	descJoins    = desc("joins_total", "Joins finished.")
	descMessages = desc("messages_total", "Packets exchanged with neighbours, by kind and direction.", "kind", "direction")
	descReroutes = desc("reroutes_total", "Messages sent round a silent hop.")
	descResends  = desc("resends_total", "Messages sent again, by whom.", "by")
	descProbes   = desc("probes_total", "Probes ended, by result.", "result")
	descDrops    = desc("drops_total", "What was thrown away, by cause.", "cause")
	descRefused  = desc("admissions_refused_total", "Joiners and candidates that were not admitted.")
	descPeriod   = desc("table_probe_period_seconds", "The self-tuned period in which the routing table is probed.")
)

func newMeter(n *Node) (*meter, error) {
	m := &meter{n: n, reg: n.opts.registerer, hops: prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: metricsPrefix + "hops", Help: "Links that this node's answered messages to keys crossed.",
		Buckets: []float64{0, 1, 2, 3, 4, 5, 6, 8, 12},
	})}
	if m.reg == nil {
		return m, nil
	}
	if err := m.reg.Register(m); err != nil {
		return nil, fmt.Errorf("pastry: WithMetrics: %w (when several nodes share a registerer, wrap it for each with labels of its own)", err)
	}
	return m, nil
}

func (m *meter) close() {
	if m.reg != nil {
		m.reg.Unregister(m)
	}
}

// ended counts the hops of an answer.
func (m *meter) ended(a *Answer) {
	if a.Code == CodeOK {
		m.hops.Observe(float64(a.Hops))
	}
}

// Describe implements prometheus.Collector.
func (m *meter) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descEntries, descLeaves, descHood, descSize, descState, descJoins,
		descMessages, descReroutes, descResends, descProbes, descDrops, descRefused, descPeriod} {
		ch <- d
	}
	m.hops.Describe(ch)
}

// Collect implements prometheus.Collector.
func (m *meter) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(m.n.ctx, collectTimeout)
	defer cancel()
	var ms []prometheus.Metric
	if err := m.n.do(ctx, func(r *RawNode) { ms = append(m.gauges(r), m.counters(r.Stats())...) }); err != nil {
		return
	}
	for _, metric := range ms {
		ch <- metric
	}
	for _, metric := range m.n.keeper.metrics() {
		ch <- metric
	}
	m.hops.Collect(ch)
}

func gauge(d *prometheus.Desc, v float64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func counter(d *prometheus.Desc, v uint64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
}

func (m *meter) gauges(r *RawNode) []prometheus.Metric {
	ms := []prometheus.Metric{
		gauge(descLeaves, float64(len(r.Leaves().Smaller())), "smaller"),
		gauge(descLeaves, float64(len(r.Leaves().Larger())), "larger"),
		gauge(descHood, float64(len(r.Neighborhood().AppendMembers(nil)))),
		gauge(descSize, r.Leaves().EstimateSize()),
		gauge(descState, float64(boolToInt(r.State() == StateActive))),
		gauge(descPeriod, r.tuning.period.Seconds()),
	}
	for row := range r.Table().Rows() {
		ms = append(ms, gauge(descEntries, float64(r.Table().count(row)), strconv.Itoa(row)))
	}
	return ms
}

func (m *meter) counters(s Stats) []prometheus.Metric {
	ms := []prometheus.Metric{
		counter(descJoins, s.Joins), counter(descReroutes, s.Reroutes),
		counter(descResends, s.Resends, "hop"), counter(descResends, s.Retries, "origin"),
		counter(descProbes, s.ProbeAlive, "alive"), counter(descProbes, s.ProbeDead, "dead"),
		counter(descRefused, s.Refused),
	}
	for k := KindRoute; k < numKinds; k++ {
		ms = append(ms, counter(descMessages, s.Sent[k], k.String(), "sent"),
			counter(descMessages, s.Received[k], k.String(), "received"))
	}
	m.n.mu.Lock()
	drops := m.n.drops
	m.n.mu.Unlock()
	for d := range numDrops {
		ms = append(ms, counter(descDrops, s.Drops[d]+drops[d], d.String()))
	}
	return ms
}
