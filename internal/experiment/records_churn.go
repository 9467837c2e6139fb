package experiment

// outlive ends a node when its session is over, which may be a member or one that
// has yet to join.
func (a *archive) outlive(i int) {
	stay, leaves := a.pop.exponential(a.Session), a.rng.Float64() < a.Leave
	a.world.After(stay, func() {
		if !a.pop.calm && a.world.Up(i) {
			a.pop.part(i, leaves, a.leave, func(i int) { a.stop(i, "crashed") })
		}
	})
}

// leave lets a member hand over what it holds and tell its neighbours before it
// is gone.
func (a *archive) leave(i int) {
	a.keeper(i).handOver(func() {
		a.leaving[i] = true
		a.world.Leave(i)
		a.world.After(farewellTime, func() { a.parted(i) })
	})
}

// parted switches off a member that has told its neighbours.
func (a *archive) parted(i int) {
	if a.leaving[i] {
		delete(a.leaving, i)
		a.stop(i, "left")
	}
}

// stop makes a node fall silent, and what it holds is gone.
func (a *archive) stop(i int, how string) {
	if k := a.keeper(i); k != nil {
		k.stop(how)
	}
	a.keepers[i] = nil
	a.pop.off(i)
}
