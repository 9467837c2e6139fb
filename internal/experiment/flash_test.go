package experiment

import (
	"testing"
	"time"

	"github.com/secondbit/pastry"
)

func runFlash(t *testing.T, change func(f *Flash)) *FlashReport {
	t.Helper()
	f := newFlash()
	f.Nodes, f.Joiners, f.Within, f.Rate, f.Limit = 60, 60, 5*time.Second, 1, 2*time.Minute
	if change != nil {
		change(f)
	}
	r := run[*FlashReport](t, f)
	checkAccount(t, &r.Lookups)
	return r
}

func TestFlash(t *testing.T) {
	long(t)
	t.Parallel()
	r := runFlash(t, nil)
	if r.Active != 120 || r.Joined != 60 || r.Exact < 0 {
		t.Errorf("%d active, %d joined, exact after %.1fs; want 120, 60, and exact", r.Active, r.Joined, r.Exact)
	}
	if r.Last > r.Exact || r.JoinMost > r.Last {
		t.Errorf("slowest join %.1fs, last active after %.1fs, exact after %.1fs: out of order", r.JoinMost, r.Last, r.Exact)
	}
	if got, want := len(r.Reached), 101; got != want || r.Reached[100] != r.JoinMost {
		t.Errorf("%d percentiles, the last %.2fs; want %d and %.2fs", got, r.Reached[got-1], want, r.JoinMost)
	}
	if r.Sent < 500 || r.Wrong > 0 || r.Lost > 0 {
		t.Errorf("%d lookups, %d wrong, %d lost; want many, none and none: %v", r.Sent, r.Wrong, r.Lost, r.Incidents)
	}
	if want := (Calm{r.CalmSent, 0, 0}); r.CalmSent < 5000 || r.Calm != want {
		t.Errorf("in the minute after: %+v; want many, none wrong, none lost", r.Calm)
	}
}

func TestFlashDeterministic(t *testing.T) {
	long(t)
	t.Parallel()
	run := func() *FlashReport { return runFlash(t, func(f *Flash) { f.Seed, f.Loss, f.Joiners = 5, 0.01, 30 }) }
	checkSame(t, run(), run())
}

// TestFlashDetects gives joiners no time: the ring cannot take them in.
func TestFlashDetects(t *testing.T) {
	long(t)
	t.Parallel()
	r := runFlash(t, func(f *Flash) {
		f.Joiners, f.Limit = 20, 20*time.Second
		f.tune = func(i int, c *pastry.Config) {
			if i >= f.Nodes {
				c.JoinTimeout = time.Millisecond
			}
		}
	})
	if r.Exact >= 0 || r.Joined == 20 {
		t.Errorf("exact after %.1fs, %d joined: the harm does not show", r.Exact, r.Joined)
	}
}
