package pastry_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/internal/records"
	"github.com/secondbit/pastry/pb"
	"github.com/secondbit/pastry/testutil"
)

func TestRecordMetrics(t *testing.T) {
	const members, files = 4, 10
	var m metered
	cfg := seeded(99, members)
	clients := clientsFrom(members, pastry.WithHeartbeat(time.Minute))
	cfg.Options = func(i int) []pastry.Option { return append(clients(i), m.option(i)) }
	withRing(t, cfg, func(t *testing.T, c *testutil.Cluster) {
		client := addClient(t, c)
		for i := range files {
			provide(t, c.Node(0), pastry.ContentCID(t, fmt.Sprint(i)))
		}
		putValue(t, client, "/rank/key", "1 value")
		for i := range files {
			find(t, client, pastry.ContentCID(t, fmt.Sprint(i)), 0)
		}
		time.Sleep(time.Minute)
		if err := pastry.Forget(t.Context(), c.Node(1)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(settleTime)

		for _, tt := range []struct {
			node        int
			name        string
			labels      []string
			least, most float64
		}{
			{0, "records", []string{"provider"}, files, files},
			{1, "records", []string{"provider"}, files, files},
			{1, "records", []string{"value"}, 1, 1},
			{1, "records", []string{"peer"}, 1, 1},
			{0, "record_bytes", nil, files * 200, files * 1000},
			{0, "own_records", []string{"provider"}, files, files},
			{1, "own_records", []string{"provider"}, 0, 0},
			{4, "own_records", []string{"value"}, 1, 1},
			{4, "records", []string{"provider"}, 0, 0},
			{4, "reads_total", []string{"root"}, files, files},
			{4, "reads_total", []string{"replica"}, 0, 0},
			{1, "repair_tasks_total", []string{"sync", "done"}, members - 1, 100},
			{1, "repair_tasks_total", []string{"sync", "failed"}, 0, 0},
			{1, "record_refusals_total", []string{"forged"}, 0, 0},
			{1, "records_expired_total", nil, 0, 0},
		} {
			if got := m.value(t, tt.node, tt.name, tt.labels...); got < tt.least || got > tt.most {
				t.Errorf("node %d: %s%v: got %v, want %v to %v", tt.node, tt.name, tt.labels, got, tt.least, tt.most)
			}
		}
		for _, tt := range []struct {
			name        string
			labels      [][]string // of all members together
			least, most float64
		}{
			{"records_moved_total", [][]string{{"fetched"}, {"given"}}, files + 2, 3 * (files + 2)},
			{"records_moved_total", [][]string{{"dropped"}}, 0, 0},
			{"repair_bytes_total", [][]string{{"sent"}, {"received"}}, files * 200, 100_000},
		} {
			got := 0.0
			for i := range members {
				for _, label := range tt.labels {
					got += m.value(t, i, tt.name, label...)
				}
			}
			if got < tt.least || got > tt.most {
				t.Errorf("%s%v of all: got %v, want %v to %v", tt.name, tt.labels, got, tt.least, tt.most)
			}
		}
		checkRecordMetricNames(t, &m)
	})
}

// checkRecordMetricNames checks that the metrics of records exist, each with the
// label values that dashboards go by.
func checkRecordMetricNames(t *testing.T, m *metered) {
	t.Helper()
	families, err := m.regs[0].Gather()
	if err != nil {
		t.Fatal(err)
	}
	kinds := []string{"peer", "provider", "value"}
	want := map[string][]string{
		"records": kinds, "own_records": kinds, "record_bytes": {""}, "records_expired_total": {""}, "values_written_back_total": {""},
		"record_refusals_total": {"expired", "forged", "full", "invalid", "stale", "too_large", "unaddressed", "unreadable"},
		"record_limits_total":   {"addresses", "bytes", "providers_of_a_key", "record_bytes", "records", "records_of_a_peer"},
		"repair_bytes_total":    {"received", "sent"},
		"records_moved_total":   {"dropped", "fetched", "given"},
		"repair_tasks_total":    {"done hand", "done push", "done sync", "failed hand", "failed push", "failed sync"},
		"reads_total":           {"replica", "root"},
	}
	for _, f := range families {
		name := strings.TrimPrefix(f.GetName(), metricsPrefix)
		var got []string
		for _, metric := range f.GetMetric() {
			got = append(got, strings.Join(labelValues(metric), " "))
		}
		slices.Sort(got)
		if labels, known := want[name]; known && !slices.Equal(got, labels) {
			t.Errorf("%s has the labels %q, want %q", name, got, labels)
		}
		delete(want, name)
	}
	for name := range want {
		t.Errorf("there is no metric %s", name)
	}
}

// Each limit keeps out what is beyond it, says so where there is somebody to be
// told, and is counted.
func TestRecordLimits(t *testing.T) {
	a, b := newSigner(t, "a"), newSigner(t, "b")
	one := func(s signer, name string) func(*testing.T) *records.Record {
		return func(t *testing.T) *records.Record { return s.provider(t, pastry.ContentCID(t, name), nil) }
	}
	val := func(key, data string) func(*testing.T) *records.Record {
		return func(*testing.T) *records.Record { return value("/rank/"+key, data) }
	}
	const ok, full, large = pb.RecordOutcome_RECORD_OUTCOME_OK, pb.RecordOutcome_RECORD_OUTCOME_FULL, pb.RecordOutcome_RECORD_OUTCOME_TOO_LARGE
	for _, tt := range []struct {
		name   string
		limits pastry.RecordLimits
		make   []func(*testing.T) *records.Record
		want   []pb.RecordOutcome
		held   int
		metric string
		reason string // empty: nobody is told
	}{
		{"records", pastry.RecordLimits{Records: 2}, []func(*testing.T) *records.Record{one(a, "1"), val("2", "1"), one(b, "3"), val("2", "2 replaces")},
			[]pb.RecordOutcome{ok, ok, full, ok}, 2, "records", "full"},
		{"bytes", pastry.RecordLimits{Bytes: 1000}, []func(*testing.T) *records.Record{val("1", "1"), val("2", "1 "+strings.Repeat("x", 1000)), val("3", "1")},
			[]pb.RecordOutcome{ok, full, ok}, 2, "bytes", "full"},
		{"records of one peer", pastry.RecordLimits{PerPeer: 2}, []func(*testing.T) *records.Record{one(a, "1"), one(a, "2"), one(a, "3"), one(b, "1"), one(a, "1")},
			[]pb.RecordOutcome{ok, ok, full, ok, ok}, 3, "records_of_a_peer", "full"},
		{"providers of one content", pastry.RecordLimits{PerKey: 2}, []func(*testing.T) *records.Record{one(a, "1"), one(b, "1"), one(newSigner(t, "c"), "1")},
			[]pb.RecordOutcome{ok, ok, ok}, 2, "providers_of_a_key", ""},
		{"bytes of one record", pastry.RecordLimits{Record: 300}, []func(*testing.T) *records.Record{one(a, "1"), val("1", "1 "+strings.Repeat("x", 300))},
			[]pb.RecordOutcome{ok, large}, 1, "record_bytes", "too_large"},
		{"none", pastry.RecordLimits{Records: -1, Bytes: -1, PerKey: -1, PerPeer: -1, Record: -1, Addrs: -1}, []func(*testing.T) *records.Record{one(a, "1"), val("1", "1")},
			[]pb.RecordOutcome{ok, ok}, 2, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var m metered
			n := pastry.LoopbackRing(t, 1, m.option(0), withRanks, pastry.WithRecordLimits(tt.limits))[0]
			peers := [][]byte{a.addresses(t, somewhere), b.addresses(t, somewhere), newSigner(t, "c").addresses(t, somewhere)}
			for i, make := range tt.make {
				r := make(t)
				reply, err := pastry.AskRoot(t.Context(), n, r.ID().Key, storeCall([]*records.Record{r}, peers...))
				if err != nil {
					t.Fatal(err)
				}
				if got := reply.GetStore().GetOutcomes(); len(got) != 1 || got[0] != tt.want[i] {
					t.Errorf("record %d: got %v, want %v", i, got, tt.want[i])
				}
			}
			if got := len(pastry.HeldEntries(n)); got != tt.held {
				t.Errorf("%d records are held, want %d", got, tt.held)
			}
			if got := m.value(t, 0, "record_limits_total", tt.metric); tt.metric != "" && got < 1 {
				t.Errorf("the limit has not been counted")
			}
			if got := m.value(t, 0, "record_refusals_total", tt.reason); tt.reason != "" && got != 1 {
				t.Errorf("%v records were refused, want 1", got)
			}
		})
	}
}

// The caller of a node that reaches a limit is told which kind it is.
func TestProvideBeyondLimit(t *testing.T) {
	nodes := pastry.LoopbackRing(t, 2, pastry.WithRecordLimits(pastry.RecordLimits{Records: 3}))
	for i := range 5 {
		err := nodes[0].Provide(t.Context(), pastry.ContentCID(t, fmt.Sprint(i)), true)
		if i < 3 && err != nil || i >= 3 && !(errors.Is(err, pastry.ErrRecordFull) && errors.Is(err, pastry.ErrNotStored)) {
			t.Errorf("content %d: got %v", i, err)
		}
	}
}
