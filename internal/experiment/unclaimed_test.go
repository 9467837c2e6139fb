package experiment

import (
	"testing"
	"time"

	"github.com/secondbit/pastry"
)

func smallUnclaimed(passive bool) *Unclaimed {
	u := newUnclaimed()
	u.Nodes, u.Deaths, u.Passive = 100, 8, passive
	return u
}

func runUnclaimed(t *testing.T, u *Unclaimed) *UnclaimedReport {
	t.Helper()
	r := run[*UnclaimedReport](t, u)
	checkAccount(t, &r.Lookups)
	return r
}

func TestUnclaimed(t *testing.T) {
	long(t)
	t.Parallel()
	passive, active := runUnclaimed(t, smallUnclaimed(true)), runUnclaimed(t, smallUnclaimed(false))
	for _, r := range []*UnclaimedReport{passive, active} {
		if r.Claimed != r.Deaths {
			t.Errorf("passive %t: the keys of %d of %d dead nodes were claimed", r.Passive, r.Claimed, r.Deaths)
		}
		if len(r.Times) != r.Deaths || r.Max > 15 || r.P50 > r.P90 || r.P90 > r.Max {
			t.Errorf("passive %t: times are %v", r.Passive, r.Times)
		}
		if r.Wrong > 0 || r.Lost > 0 {
			t.Errorf("%d wrong, %d lost: %v", r.Wrong, r.Lost, r.Incidents)
		}
		if r.Heartbeats < 0.05 || r.Heartbeats > 0.25 {
			t.Errorf("%.3f heartbeats a second and node, want nearly 0.2", r.Heartbeats)
		}
	}
	if passive.Sent > 0 || active.Sent == 0 {
		t.Errorf("%d messages sent when passive, %d when not", passive.Sent, active.Sent)
	}
	if active.P50 > passive.P50 {
		t.Errorf("%.2fs with messages, %.2fs without: messages should help", active.P50, passive.P50)
	}
}

// TestParted looks who is the root of the keys before and after the death.
func TestParted(t *testing.T) {
	t.Parallel()
	u := smallUnclaimed(true)
	u.Perfect = true
	s, err := u.open(t.Context(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	d, world := &deaths{Unclaimed: u, stage: s}, s.world
	for range 20 {
		dead := world.RandomActive()
		keys := d.parted(dead)
		if a, b := world.Root(keys[0]), world.Root(keys[1]); a != dead || b != dead {
			t.Errorf("the roots are nodes %d and %d, want %d", a, b, dead)
		}
		world.Crash(dead)
		if a, b := world.Root(keys[0]), world.Root(keys[1]); a == b {
			t.Errorf("both keys of node %d fall to node %d", dead, a)
		}
	}
}

func TestUnclaimedDeterministic(t *testing.T) {
	long(t)
	t.Parallel()
	run := func() *UnclaimedReport {
		u := smallUnclaimed(false)
		u.Deaths, u.Loss, u.Seed = 3, 0.02, 9
		return runUnclaimed(t, u)
	}
	checkSame(t, run(), run())
}

// TestUnclaimedDetects takes the heartbeats away: keys then stay unclaimed until
// something else, such as an exchange of leaf sets, finds the dead node.
func TestUnclaimedDetects(t *testing.T) {
	long(t)
	t.Parallel()
	u := smallUnclaimed(true)
	sound := runUnclaimed(t, u)
	u = smallUnclaimed(true)
	u.tune = func(_ int, c *pastry.Config) { c.Heartbeat, c.LeafExchange, c.LossTarget = time.Hour, -1, 0.99 }
	deaf := runUnclaimed(t, u)
	if deaf.P90 < 2*sound.P90 {
		t.Errorf("unclaimed p90 is %.1fs without heartbeats and %.1fs with them, want far more", deaf.P90, sound.P90)
	}
}
