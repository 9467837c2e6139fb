package pastry_test

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/net/connmgr"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/testutil"
)

// metered gives each node of a cluster a registry of metrics.
type metered struct {
	mu   sync.Mutex // guards regs
	regs map[int]*prometheus.Registry
}

func (m *metered) option(i int) pastry.Option {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.regs == nil {
		m.regs = make(map[int]*prometheus.Registry)
	}
	m.regs[i] = prometheus.NewRegistry()
	return pastry.WithMetrics(m.regs[i])
}

// value returns a metric of node i, as pastry names it after the prefix, with
// the label values given, in any order. It is 0 when there is none.
func (m *metered) value(t testing.TB, i int, name string, labels ...string) float64 {
	t.Helper()
	families, err := m.regs[i].Gather()
	if err != nil {
		t.Fatal(err)
	}
	return metric(families, name, labels...)
}

func (m *metered) drops(t testing.TB, i int, cause pastry.Drop) float64 {
	t.Helper()
	return m.value(t, i, "drops_total", cause.String())
}

// metric finds a metric among families, see metered.value.
func metric(families []*dto.MetricFamily, name string, labels ...string) float64 {
	for _, f := range families {
		if f.GetName() != metricsPrefix+name {
			continue
		}
		for _, m := range f.GetMetric() {
			if slices.Equal(labelValues(m), slices.Sorted(slices.Values(labels))) {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return 0
}

// labelValues returns the values of a metric's labels, sorted.
func labelValues(m *dto.Metric) []string {
	var values []string
	for _, l := range m.GetLabel() {
		values = append(values, l.GetValue())
	}
	slices.Sort(values)
	return values
}

const metricsPrefix = "libp2p_pastry_"

func TestMetrics(t *testing.T) {
	const nodes, messages = 8, 60
	var m metered
	cfg := seeded(61, nodes)
	cfg.Options = func(i int) []pastry.Option { return []pastry.Option{m.option(i)} }
	withRing(t, cfg, func(t *testing.T, c *testutil.Cluster) {
		register(t, c, "echo", echo)
		traffic(t, c, "echo", []int{0}, messages, 10*time.Millisecond, 10*time.Second)
		c.Crash(nodes - 1)
		settle(t, c, time.Minute)
		traffic(t, c, "echo", []int{0}, messages, 10*time.Millisecond, 10*time.Second)
		if err := c.Node(nodes - 2).Close(); err != nil {
			t.Fatal(err)
		}
		settle(t, c, time.Minute)
		time.Sleep(time.Minute) // of heartbeats

		exact := []struct {
			name   string
			labels []string
			want   float64
		}{
			{"leaves", []string{"smaller"}, nodes - 3},
			{"leaves", []string{"larger"}, nodes - 3},
			{"active", nil, 1},
			{"joins_total", nil, 1},
			{"hops", nil, 2 * messages},
			{"messages_total", []string{"leave", "received"}, 1},
			{"drops_total", []string{"malformed"}, 0},
		}
		for _, tt := range exact {
			if got := m.value(t, 0, tt.name, tt.labels...); got != tt.want {
				t.Errorf("%s%v: got %v, want %v", tt.name, tt.labels, got, tt.want)
			}
		}
		atLeast := []struct {
			name   string
			labels []string
			least  float64
		}{
			{"table_entries", []string{"0"}, 1},
			{"neighborhood", nil, nodes - 3},
			{"ring_size", nil, 2},
			{"table_probe_period_seconds", nil, 10},
			{"probes_total", []string{"alive"}, nodes - 2},
			{"probes_total", []string{"dead"}, 1},
			{"messages_total", []string{"probe", "sent"}, nodes - 2},
			{"messages_total", []string{"probe-reply", "received"}, nodes - 2},
			{"messages_total", []string{"heartbeat", "sent"}, 1},
			{"messages_total", []string{"route", "sent"}, messages},
			{"messages_total", []string{"reply", "received"}, messages},
		}
		for _, tt := range atLeast {
			if got := m.value(t, 0, tt.name, tt.labels...); got < tt.least {
				t.Errorf("%s%v: got %v, want at least %v", tt.name, tt.labels, got, tt.least)
			}
		}
		checkMetricNames(t, &m)

		if err := c.Node(0).Close(); err != nil {
			t.Fatal(err)
		}
		if left, err := m.regs[0].Gather(); err != nil || len(left) > 0 {
			t.Errorf("after Close the registry has %v, %v", left, err)
		}
	})
}

// checkMetricNames checks that the metrics the documentation names exist.
func checkMetricNames(t *testing.T, m *metered) {
	t.Helper()
	families, err := m.regs[0].Gather()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range families {
		got = append(got, strings.TrimPrefix(f.GetName(), metricsPrefix))
		if f.GetHelp() == "" {
			t.Errorf("%s has no help text", f.GetName())
		}
	}
	want := []string{"active", "admissions_refused_total", "drops_total", "hops", "joins_total", "leaves", "messages_total",
		"neighborhood", "probes_total", "reroutes_total", "resends_total", "ring_size", "table_entries", "table_probe_period_seconds"}
	for _, name := range want {
		if !slices.Contains(got, name) {
			t.Errorf("there is no metric %s", name)
		}
	}
}

func TestMetricsOfTwoNodes(t *testing.T) {
	testutil.WithCluster(t, testutil.ClusterConfig{}, func(t *testing.T, c *testutil.Cluster) {
		a, err := c.Network().NewHost()
		if err != nil {
			t.Fatal(err)
		}
		b, err := c.Network().NewHost()
		if err != nil {
			t.Fatal(err)
		}
		reg := prometheus.NewRegistry()
		labelled := func(node string) pastry.Option {
			return pastry.WithMetrics(prometheus.WrapRegistererWith(prometheus.Labels{"node": node}, reg))
		}
		first, err := pastry.New(a, labelled("a"))
		if err != nil {
			t.Fatal(err)
		}
		_, err = pastry.New(b, labelled("a"))
		if err == nil || !strings.Contains(err.Error(), "WithMetrics") || !strings.Contains(err.Error(), "labels") {
			t.Errorf("a second node on one registry: got %v, want an error that says what to do", err)
		}
		second, err := pastry.New(b, labelled("b"))
		if err != nil {
			t.Fatalf("as the error says: %v", err)
		}
		for _, n := range []*pastry.Node{first, second} {
			if err := n.Close(); err != nil {
				t.Error(err)
			}
		}
		again, err := pastry.New(a, labelled("a"))
		if err != nil {
			t.Fatalf("the registry of a closed node: %v", err)
		}
		if err := again.Close(); err != nil {
			t.Error(err)
		}
	})
}

// The connections to leaves are protected while they are leaves, and those to
// table entries are worth something.
func TestConnectionManager(t *testing.T) {
	const nodes = 12
	managers := make([]*connmgr.BasicConnMgr, nodes)
	cfg := seeded(62, nodes)
	cfg.LeafSetSize = 4
	cfg.Host = func(i int) []libp2p.Option {
		m, err := connmgr.NewConnManager(100, 200)
		if err != nil {
			t.Fatal(err)
		}
		managers[i] = m
		return []libp2p.Option{libp2p.ConnectionManager(m)}
	}
	withRing(t, cfg, func(t *testing.T, c *testutil.Cluster) {
		check := func() {
			t.Helper()
			var before [nodes][]peer.ID // tags follow the tables within half a minute
			for i := range nodes {
				before[i] = tables(t, c.Node(i))
			}
			time.Sleep(time.Minute)
			for i := range nodes {
				if c.Live(i) {
					checkTags(t, c, i, managers[i], before[i])
				}
			}
		}
		check()
		c.Crash(3)
		settle(t, c, time.Minute)
		check()

		peers := c.Node(0).Host().Network().Peers()
		if err := c.Node(0).Close(); err != nil {
			t.Fatal(err)
		}
		for _, p := range peers {
			if managers[0].IsProtected(p, "") {
				t.Errorf("node %d is protected after Close", c.Index(p))
			}
		}
	})
}

// checkTags checks what a node tells its host's connection manager about the
// peers it is connected to.
func checkTags(t *testing.T, c *testutil.Cluster, i int, m *connmgr.BasicConnMgr, before []peer.ID) {
	t.Helper()
	smaller, larger, _ := c.Oracle().Leaves(c.Node(i).Host().ID())
	leaves, entries := slices.Concat(smaller, larger), tables(t, c.Node(i))
	for _, p := range c.Node(i).Host().Network().Peers() {
		if got, want := m.IsProtected(p, "pastry-leaf"), slices.Contains(leaves, p); got != want {
			t.Errorf("node %d protects node %d: %t, want %t", i, c.Index(p), got, want)
		}
		info := m.GetTagInfo(p)
		if slices.Contains(entries, p) && slices.Contains(before, p) && (info == nil || info.Tags["pastry-table"] == 0) {
			t.Errorf("node %d has had node %d in its table without a tag", i, c.Index(p))
		}
	}
}
