package main

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/secondbit/pastry/internal/experiment"
	"github.com/secondbit/pastry/internal/figure"
)

// small are command lines that run every experiment in little time.
var small = map[string]string{
	"hops":      "-nodes 60 -lookups 200",
	"replicas":  "-nodes 60 -lookups 200",
	"failures":  "-nodes 60 -lookups 200",
	"skew":      "-nodes 60 -lookups 200 -distinct 50",
	"churn":     "-nodes 60 -lookups 100 -warmup 1m -rate 0.1",
	"unclaimed": "-nodes 50 -deaths 3",
	"flash":     "-nodes 40 -joiners 20 -within 10s",
	"split":     "-nodes 40 -for 1m",
	"records":   "-nodes 50 -records 30 -for 10m",
}

func TestSimHops(t *testing.T) {
	hops := func() map[string]any {
		var r map[string]any
		out := mustRun(t, "sim", "hops", "-nodes", "60", "-leafset", "8", "-lookups", "200", "-seed", "7", "-json")
		if err := json.Unmarshal([]byte(out), &r); err != nil {
			t.Fatalf("%v in %s", err, out)
		}
		return r
	}
	r := hops()
	for key, want := range map[string]any{"experiment": "hops", "nodes": 60.0, "leafset": 8.0, "seed": 7.0, "built": "joins",
		"lost": 0.0, "wrong": 0.0, "command": "pastry sim hops -nodes 60 -leafset 8 -seed 7 -lookups 200"} {
		if diff := cmp.Diff(r[key], want); diff != "" {
			t.Errorf("%s: got(-) want(+):\n%s", key, diff)
		}
	}
	for _, key := range []string{"mean_hops", "max_hops", "stretch"} {
		if v, ok := r[key].(float64); !ok || v < 1 || v > 5 {
			t.Errorf("%s is %v", key, r[key])
		}
	}
	if _, ok := r["distribution"].([]any); !ok {
		t.Errorf("no distribution but %v", r["distribution"])
	}
	again := hops()
	for _, measured := range []string{"wall_seconds", "peak_memory_bytes"} {
		delete(r, measured)
		delete(again, measured)
	}
	if diff := cmp.Diff(again, r); diff != "" {
		t.Errorf("the same seed gave another report:\n%s", diff)
	}
}

// Every experiment reports what survives being written down, and its figures can be
// drawn.
func TestSimEveryExperiment(t *testing.T) {
	if testing.Short() {
		t.Skip("runs every experiment")
	}
	for _, e := range experiment.All() {
		t.Run(e.Name, func(t *testing.T) {
			b, err := parseBatch([]experiment.Experiment{e}, e.Name+" "+small[e.Name])
			if err != nil {
				t.Fatal(err)
			}
			var log strings.Builder
			reports, err := b.run(t.Context(), newSimProgress(&log, false))
			if err != nil {
				t.Fatalf("%v\n%s", err, &log)
			}
			checkReport(t, e, reports)
		})
	}
}

func checkReport(t *testing.T, e experiment.Experiment, reports []experiment.Report) {
	t.Helper()
	run, err := newEntryRun(reports[0])
	if err != nil {
		t.Fatal(err)
	}
	again, err := run.revive(reports[0])
	if err != nil {
		t.Fatal(err)
	}
	figures := e.Figures(reports)
	if diff := cmp.Diff(e.Figures([]experiment.Report{again}), figures); diff != "" {
		t.Errorf("figures of a report that was read again: got(-) want(+):\n%s", diff)
	}
	drawn := 0
	for _, f := range figures {
		if _, err := figure.SVG(f); err == nil {
			drawn++
		} else if !errors.Is(err, figure.ErrNoPoints) {
			t.Errorf("%s: %v", f.Name, err)
		}
	}
	if drawn == 0 {
		t.Error("no figure has a point")
	}
	var flat map[string]any
	if err := json.Unmarshal(run.Report, &flat); err != nil {
		t.Fatal(err)
	}
	for key := range flat {
		if key != strings.ToLower(key) {
			t.Errorf("the key %q is not in snake case", key)
		}
	}
}
