package experiment

import "time"

// Arrivals are a Poisson process, and a node stays from the moment that it is
// told to join for an exponentially distributed session; as many come as go, on
// average. Who comes is a new node without records.

const (
	patience  = 30 * time.Second // after which a node that has not joined is told of another member
	closeTime = 3 * time.Second  // in which a node that leaves tells its neighbours
)

func (a *archive) exponential(mean time.Duration) time.Duration {
	return time.Duration(a.rng.ExpFloat64() * float64(mean))
}

// expect waits for the next arrival.
func (a *archive) expect() {
	a.world.After(a.exponential(a.Session/time.Duration(a.Nodes)), func() {
		if !a.calm {
			i := a.world.Add()
			a.joined++
			a.outlive(i)
			a.enter(i)
			a.expect()
		}
	})
}

// enter tells a node of a member to join through, and of another if that does not
// help.
func (a *archive) enter(i int) {
	if via := a.world.RandomActive(); via >= 0 {
		a.world.Join(i, via)
	}
	a.world.After(patience, func() {
		if a.world.Up(i) && !a.world.Active(i) && a.keeper(i) == nil {
			a.enter(i)
		}
	})
}

// outlive ends a node when its session is over.
func (a *archive) outlive(i int) {
	stay, leaves := a.exponential(a.Session), a.rng.Float64() < a.Leave
	a.world.After(stay, func() {
		switch {
		case a.calm || !a.world.Up(i):
		case leaves && a.world.Active(i):
			a.left++
			a.leave(i)
		default:
			a.crashed++
			a.stop(i, "crashed")
		}
	})
}

// leave lets a member hand over what it holds and tell its neighbours before it
// is gone.
func (a *archive) leave(i int) {
	a.keeper(i).handOver(func() {
		a.leaving[i] = true
		a.world.Leave(i)
		a.world.After(closeTime, func() { a.parted(i) })
	})
}

// parted switches off a member that has told its neighbours.
func (a *archive) parted(i int) {
	if a.leaving[i] {
		delete(a.leaving, i)
		a.stop(i, "left")
	}
}

// stop makes a node fall silent, and what it holds is gone. Starting it once more
// before frees what it knew.
func (a *archive) stop(i int, how string) {
	if k := a.keeper(i); k != nil {
		k.stop(how)
	}
	a.keepers[i] = nil
	a.world.Restart(i)
	a.world.Crash(i)
}
