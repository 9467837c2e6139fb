package experiment

import (
	"testing"
	"time"
)

func TestFailures(t *testing.T) {
	r := run[*FailuresReport](t, smallFailures())
	if r.Failed != 20 {
		t.Errorf("%d nodes failed, want 20", r.Failed)
	}
	if r.DeliveredBefore != 1 || r.DeliveredUnrepaired != 1 || r.DeliveredRepaired != 1 {
		t.Errorf("shares delivered are %v, %v and %v, want 1", r.DeliveredBefore, r.DeliveredUnrepaired, r.DeliveredRepaired)
	}
	if r.HopsBefore < 1 || r.HopsUnrepaired < 1 || r.HopsRepaired < 1 {
		t.Errorf("mean hops are %v, %v and %v", r.HopsBefore, r.HopsUnrepaired, r.HopsRepaired)
	}
	if r.P99Unrepaired < 1.5*r.P99Before || r.P99Repaired > r.P99Unrepaired {
		t.Errorf("the slowest lookups took %.0f ms before, %.0f ms with a tenth of the nodes dead and %.0f ms after repair", r.P99Before, r.P99Unrepaired, r.P99Repaired)
	}
	if r.ExactAfter <= 0 || r.ExactAfter > 30 {
		t.Errorf("leaf sets are exact after %v s", r.ExactAfter)
	}
	// Leaf sets of 16, of which a tenth of the nodes is gone.
	if r.LeafHolders < 12 || r.LeafHolders > 16 || r.Holders <= r.LeafHolders {
		t.Errorf("%v live nodes had a failed one in a table, %v in the leaf set, want 14.4", r.Holders, r.LeafHolders)
	}
	if r.Calls < 10 || r.Probes <= 0 || r.Warnings <= 0 || r.Answered <= 0 || r.Answered >= r.Probes || r.Packets <= 0 {
		t.Errorf("a failed node cost %v calls, of these %v probes and %v warnings, %v answered, and %v packets", r.Calls, r.Probes, r.Warnings, r.Answered, r.Packets)
	}
}

// TestMoreFailuresShow crashes so many that the leaf sets of some are gone.
func TestMoreFailuresShow(t *testing.T) {
	long(t)
	few, many := smallFailures(), smallFailures()
	few.Fail, many.Fail = .05, .4
	a, b := run[*FailuresReport](t, few), run[*FailuresReport](t, many)
	if a.Failed != 10 || b.Failed != 80 {
		t.Errorf("%d and %d nodes failed, want 10 and 80", a.Failed, b.Failed)
	}
	if b.DelaysUnrepaired[10] <= a.DelaysUnrepaired[10] || b.DeadInTable < a.DeadInTable {
		t.Errorf("with few failures %+v\nwith many %+v", a, b)
	}
}

func TestUpkeepAndDeadEntries(t *testing.T) {
	world, _ := ringOf(t, small())
	at := upkeepSent(world, nil)
	if again := upkeepSent(world, nil).less(at); again != (upkeepCount{}) {
		t.Errorf("in no time %+v packets were sent", again)
	}
	if got := deadEntries(world, world.Actives()); got != 0 {
		t.Errorf("%v dead nodes a table before any crash", got)
	}
	world.Run(10 * time.Second)
	idle := upkeepSent(world, nil).less(at)
	// A heartbeat every 5 s unless something else was sent; nobody warns.
	if perNode := float64(idle.calls) / 200; perNode < .5 || perNode > 40 || idle.warnings != 0 || idle.packets < idle.calls {
		t.Errorf("in 10 s of rest %+v packets were sent", idle)
	}
	for range 100 {
		world.Crash(world.RandomActive())
	}
	if got := deadEntries(world, world.Actives()); got < 5 {
		t.Errorf("%v dead nodes a table when half of all have crashed", got)
	}
}
