package sweep

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/secondbit/pastry/ring"
)

var (
	noon   = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	config = Config{Cycle: 16 * time.Hour, Slices: 16}
)

// drain takes all that is due and announces it.
func drain(t *Timetable, now time.Time) []Span {
	var out []Span
	for {
		s, ok := t.Next(now)
		if !ok {
			return out
		}
		out = append(out, s)
		t.Done(now, true)
	}
}

// hours returns spans between hours that are counted from noon.
func hours(ends ...int) []Span {
	var out []Span
	for i := range len(ends) - 1 {
		out = append(out, Span{noon.Add(time.Duration(ends[i]) * time.Hour), noon.Add(time.Duration(ends[i+1]) * time.Hour)})
	}
	return out
}

func TestNext(t *testing.T) {
	whole := func(end int) []Span {
		var ends []int
		for h := end - 16; h <= end; h++ {
			ends = append(ends, h)
		}
		return hours(ends...)
	}
	for _, tt := range []struct {
		name  string
		after time.Duration // from noon, up to which all was swept
		want  []Span
	}{
		{"at once", 0, nil},
		{"before a slice is over", time.Hour - 1, nil},
		{"a slice", time.Hour, hours(0, 1)},
		{"a pause", 3 * time.Hour, hours(0, 1, 2, 3)},
		{"a long pause", 16 * time.Hour, whole(16)},
		{"a very long pause", 100 * time.Hour, whole(100)},
		{"the clock goes back a little", -10 * time.Minute, nil},
		{"the clock goes back", -time.Hour, whole(-1)},
		{"the clock goes far back", -100 * 365 * 24 * time.Hour, whole(-100 * 365 * 24)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			table := New(config, noon)
			now := noon.Add(tt.after)
			if diff := cmp.Diff(drain(table, now), tt.want); diff != "" {
				t.Errorf("due (-got +want):\n%s", diff)
			}
			if tt.want != nil && !table.Swept().Equal(now) {
				t.Errorf("got %v swept, want %v", table.Swept(), now)
			}
		})
	}
}

// A node that has never swept sweeps the whole ring first.
func TestNeverSwept(t *testing.T) {
	table := New(config, time.Time{})
	if d := table.Deadline(); d.After(noon) {
		t.Errorf("the first deadline is %v, want it past", d)
	}
	if got := drain(table, noon); len(got) != 16 {
		t.Errorf("got %d pieces, want 16", len(got))
	}
	if got, want := table.Deadline(), noon.Add(time.Hour); !got.Equal(want) {
		t.Errorf("got deadline %v, want %v", got, want)
	}
}

// What fails is due again, later and later, and is not swept until it succeeds;
// the rest goes on meanwhile.
func TestRetry(t *testing.T) {
	const m = time.Minute
	table := New(config, noon)
	now := noon.Add(time.Hour)
	first, _ := table.Next(now)
	if _, ok := table.Next(now); ok {
		t.Error("got another span while one is busy")
	}
	var waits []time.Duration
	for range 9 {
		table.Done(now, false)
		failed := now
		for due := false; !due; {
			if now = table.Deadline(); now.Sub(failed) > time.Hour {
				t.Fatalf("the failed span is not due %v later", now.Sub(failed))
			}
			for s, ok := table.Next(now); ok && !due; s, ok = table.Next(now) {
				if due = s == first; !due {
					table.Done(now, true)
				}
			}
		}
		waits = append(waits, now.Sub(failed))
		if !table.Swept().Equal(noon) {
			t.Errorf("got %v swept, want %v", table.Swept(), noon)
		}
	}
	if diff := cmp.Diff(waits, []time.Duration{1 * m, 2 * m, 4 * m, 8 * m, 16 * m, 32 * m, 60 * m, 60 * m, 60 * m}); diff != "" {
		t.Errorf("waits (-got +want):\n%s", diff)
	}
	table.Done(now, true)
	if got := table.Swept(); got.Before(now.Add(-time.Hour)) {
		t.Errorf("got %v swept, want all up to about %v", got, now)
	}
}

// A span that fails for a cycle is given up for the next one over its keys.
func TestRetryEndsWithCycle(t *testing.T) {
	table := New(config, noon)
	for now := noon; now.Before(noon.Add(100 * time.Hour)); now = now.Add(time.Minute) {
		for s, ok := table.Next(now); ok; s, ok = table.Next(now) {
			if now.Sub(s.To) > 17*time.Hour {
				t.Fatalf("span %v is due at %v", s, now)
			}
			table.Done(now, false)
		}
	}
	if got := len(table.again); got > 17 {
		t.Errorf("%d spans are to be done again, want 17 at most", got)
	}
}

// A failure does not matter when the clock went back meanwhile, and the ring is due.
func TestFailedWhenClockWentBack(t *testing.T) {
	table := New(config, noon)
	table.Next(noon.Add(time.Hour))
	back := noon.Add(-5 * time.Hour)
	table.Done(back, false)
	if got := drain(table, back); len(got) != 16 {
		t.Errorf("got %d pieces, want 16", len(got))
	}
	if !table.Swept().Equal(back) {
		t.Errorf("got %v swept, want %v", table.Swept(), back)
	}
}

func TestArc(t *testing.T) {
	epoch := time.Unix(0, 0)
	at := func(h float64) time.Time { return epoch.Add(time.Duration(h * float64(time.Hour))) }
	arc := func(first, last uint64) [2]ring.ID {
		return [2]ring.ID{ring.FromUint64s(first, 0), ring.FromUint64s(last, 0).Sub(ring.FromUint64s(0, 1))}
	}
	for _, tt := range []struct {
		name     string
		from, to time.Time
		turn     ring.ID
		want     [2]ring.ID
	}{
		{"the first hour", at(0), at(1), ring.ID{}, arc(0, 1<<60)},
		{"the last hour", at(15), at(16), ring.ID{}, arc(15<<60, 0)},
		{"over the top", at(15), at(17), ring.ID{}, arc(15<<60, 1<<60)},
		{"another cycle", at(33), at(34.5), ring.ID{}, arc(1<<60, 5<<59)},
		{"before the epoch", at(-2), at(-1), ring.ID{}, arc(14<<60, 15<<60)},
		{"turned", at(1), at(2), ring.FromUint64s(15<<60, 0), arc(0, 1<<60)},
		{"a cycle", at(0), at(16), ring.ID{}, arc(0, 0)},
		{"a cycle from elsewhere", at(1), at(17), ring.ID{}, arc(1<<60, 1<<60)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := config
			cfg.Turn = tt.turn
			first, last := New(cfg, noon).Arc(Span{tt.from, tt.to})
			if got := [2]ring.ID{first, last}; got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}
