package main

import (
	"math"
	"slices"
	"time"
)

// summary is what a demo has to say, as JSON. What counts as "after" the kill
// succeeded in both checks: at once, and after the repair.
type summary struct {
	Nodes           int     `json:"nodes"`
	Joined          int     `json:"joined"`
	Routed          int     `json:"routed"`
	DeliveredAtRoot int     `json:"delivered_at_root"`
	MeanHops        float64 `json:"mean_hops"`
	Provided        int     `json:"provided"`
	Found           int     `json:"found"` // by every node that looked
	Killed          int     `json:"killed"`
	RoutedAfter     int     `json:"routed_after"` // in each check
	DeliveredAfter  int     `json:"delivered_after"`
	FoundAfter      int     `json:"found_after"`
	JoinP50         float64 `json:"join_ms_p50"`
	JoinMax         float64 `json:"join_ms_max"`

	DeliveredAtOnce   int     `json:"delivered_at_once"`
	DeliveredRepaired int     `json:"delivered_repaired"`
	FoundAtOnce       int     `json:"found_at_once"`
	FoundRepaired     int     `json:"found_repaired"`
	MeanHopsAtOnce    float64 `json:"mean_hops_at_once"`
	MeanHopsRepaired  float64 `json:"mean_hops_repaired"`
	Duplicates        int     `json:"duplicates"`      // messages delivered more than once
	FilesOfKilled     int     `json:"files_of_killed"` // announced by a host that was killed
	Detected          float64 `json:"detected_s"`      // from the kill until no leaf set named a dead node
	Exact             float64 `json:"repaired_s"`      // from the kill until all leaf sets were exact

	Messages map[string]quantiles `json:"message_ms"` // by check
	Lookups  map[string]quantiles `json:"lookup_ms"`  // by check

	Files        int                `json:"files"`
	FilesSkipped int                `json:"files_skipped"`
	Bytes        int64              `json:"bytes"`
	Finders      int                `json:"finders"`
	Seed         uint64             `json:"seed"`
	Seconds      map[string]float64 `json:"seconds"` // by step
	Lost         int                `json:"lost"`    // faults
	Errors       []string           `json:"errors"`  // the first of them
	Version      string             `json:"version"`
}

// quantiles are of times, in milliseconds.
type quantiles struct {
	P50 float64 `json:"p50"`
	P90 float64 `json:"p90"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

// summarize draws up the summary of a demo that was held to its end.
func (d *demo) summarize(total time.Duration) *summary {
	r := &d.report
	twice := d.ledger.duplicates()
	for _, payload := range twice {
		r.lose("message %q was delivered %d times", payload, len(d.ledger.deliveries(payload)))
	}
	joins := slices.Sorted(slices.Values(r.joins))
	s := &summary{
		Nodes: d.nodes, Joined: len(joins), JoinP50: ms(quantile(joins, 0.5)), JoinMax: ms(quantile(joins, 1)),
		Killed: r.killed, Duplicates: len(twice),
		Detected: seconds(r.repair.detected), Exact: seconds(r.repair.exact),
		Files: len(d.files), FilesSkipped: r.skipped, Bytes: r.bytes, Provided: r.provided, Finders: d.finders,
		Seed: d.seed, Seconds: d.steps.took, Lost: r.lost, Errors: append([]string{}, r.faults...), Version: version(),
	}
	s.Seconds["total"] = seconds(total)
	for _, f := range d.files {
		if f.provided && !f.provider.live {
			s.FilesOfKilled++
		}
	}
	s.addChecks(r)
	return s
}

func (s *summary) addChecks(r *report) {
	s.Routed, s.DeliveredAtRoot, s.MeanHops = len(r.before.delivered), r.before.deliveredCount(), r.before.meanHops()
	s.Found = r.foundBefore.foundCount()
	s.RoutedAfter = len(r.atOnce.delivered)
	s.DeliveredAtOnce, s.DeliveredRepaired = r.atOnce.deliveredCount(), r.repaired.deliveredCount()
	s.FoundAtOnce, s.FoundRepaired = r.atOnce.foundCount(), r.repaired.foundCount()
	s.MeanHopsAtOnce, s.MeanHopsRepaired = r.atOnce.meanHops(), r.repaired.meanHops()
	s.DeliveredAfter, s.FoundAfter = inBoth(r.atOnce, r.repaired)
	s.Messages = map[string]quantiles{"before": quantilesOf(r.before.messageTimes),
		"at_once": quantilesOf(r.atOnce.messageTimes), "repaired": quantilesOf(r.repaired.messageTimes)}
	s.Lookups = map[string]quantiles{"before": quantilesOf(r.foundBefore.lookupTimes),
		"at_once": quantilesOf(r.atOnce.lookupTimes), "repaired": quantilesOf(r.repaired.lookupTimes)}
}

// quantile returns the q-quantile of sorted times, 0 if there are none.
func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[max(int(math.Ceil(q*float64(len(sorted))))-1, 0)]
}

func quantilesOf(sorted []time.Duration) quantiles {
	at := func(q float64) float64 { return ms(quantile(sorted, q)) }
	return quantiles{P50: at(0.5), P90: at(0.9), P99: at(0.99), Max: at(1)}
}

// ms returns milliseconds to the microsecond.
func ms(d time.Duration) float64 { return float64(d.Round(time.Microsecond)) / 1e6 }

// seconds returns seconds to the millisecond.
func seconds(d time.Duration) float64 {
	return float64(d.Round(time.Millisecond)/time.Millisecond) / 1000
}
