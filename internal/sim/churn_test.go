package sim_test

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/secondbit/pastry/internal/sim"
)

// churn is one run of joins, crashes, restarts and messages, all at once.
type churn struct {
	*sim.Sim
	via map[int][]int // who joins through whom; without the first and those told to leave
	end time.Duration // of the unrest
}

// TestChurn lets 5 to 100 nodes join concurrently, with packets lost and
// overtaking each other, while nodes crash silently, up to a quarter of all at
// once. Half the sizes are below 30: most of what can go wrong goes wrong in
// small rings too, and they are cheap.
//
// The network loses one packet in a hundred to the end, so that now and then all
// probes of a node that is alive get lost. If that happens at the end of the
// quiet, the ring is given a minute to find out.
func TestChurn(t *testing.T) {
	t.Parallel()
	var late atomic.Int64
	forSeeds(t, seeds(40), func(cfg sim.Config) error {
		c := newChurn(cfg)
		c.Run(c.end + 4*time.Minute)
		exact := func() bool { return c.CheckActive() == nil && c.Ring(nil).CheckLeafSets() == nil }
		if took, _ := c.RunUntil(exact, time.Second, time.Minute); took > 0 {
			late.Add(1)
		}
		return c.verdict()
	})
	t.Logf("in %d runs somebody alive was suspected at the end of the quiet", late.Load())
}

// TestDeterministic runs the same seeds twice.
func TestDeterministic(t *testing.T) {
	t.Parallel()
	hash := func(seed uint64) uint64 {
		c := newChurn(sim.Config{Seed: seed})
		c.Run(30 * time.Second)
		return c.Hash()
	}
	seen := make(map[uint64]uint64)
	for seed := uint64(1); seed <= 5; seed++ {
		want := hash(seed)
		if got := hash(seed); got != want {
			t.Errorf("seed %d: second run has hash %x, want %x", seed, got, want)
		}
		if other, ok := seen[want]; ok {
			t.Errorf("seeds %d and %d have the same hash", other, seed)
		}
		seen[want] = seed
	}
}

// newChurn draws the scenario of a seed.
func newChurn(cfg sim.Config) *churn {
	cfg.Jitter, cfg.Loss, cfg.Late, cfg.LateBy = 0.2, 0.01, 0.05, 200*time.Millisecond
	c := &churn{Sim: sim.New(cfg), via: make(map[int][]int)}
	u := c.Rand().Float64()
	size := 5 + int(96*u*u)
	c.end = 20*time.Second + time.Duration(size)*200*time.Millisecond
	c.Join(c.Add())
	c.plan(size)
	c.every(100*time.Millisecond, c.end, c.chat)
	c.every(time.Second, c.end+time.Minute, c.advise)
	return c
}

// plan draws when nodes join, crash, leave and restart. Joins come in bursts.
func (c *churn) plan(size int) {
	soon := func() time.Duration { return time.Duration(c.Rand().Int64N(int64(c.end - 5*time.Second))) }
	for left := size - 1; left > 0; {
		at := soon()
		burst := min(left, 1+c.Rand().IntN(8))
		for range burst {
			c.After(at+time.Duration(c.Rand().Int64N(int64(time.Second))), c.arrive)
		}
		left -= burst
	}
	for range c.Rand().IntN(2 + size/20) {
		c.After(soon(), func() { c.stop(c.Sim.Crash) })
		c.After(soon(), func() { c.stop(c.Leave) })
		c.After(soon(), c.comeback)
	}
	c.After(c.end-time.Duration(c.Rand().Int64N(int64(10*time.Second))), c.crash)
}

func (c *churn) every(d, end time.Duration, f func()) {
	if c.Now() < end {
		f()
		c.After(d, func() { c.every(d, end, f) })
	}
}

// arrive lets a new node join.
func (c *churn) arrive() { c.enter(c.Add()) }

// enter lets a node join through up to three random members.
func (c *churn) enter(i int) {
	actives := c.Actives()
	c.Rand().Shuffle(len(actives), func(i, j int) { actives[i], actives[j] = actives[j], actives[i] })
	c.via[i] = actives[:min(3, len(actives))]
	c.Join(i, c.via[i]...)
}

// advise does what somebody must do whose node cannot join because all members
// it was told of are gone: name others.
func (c *churn) advise() {
	for i := range c.Len() {
		via, joins := c.via[i]
		if joins && c.Up(i) && !c.Active(i) && !slices.ContainsFunc(via, c.Active) {
			c.enter(i)
		}
	}
}

// stop makes one random member crash or leave, as long as enough remain.
func (c *churn) stop(how func(int)) {
	actives := c.Actives()
	if len(actives) < 4 {
		return
	}
	i := actives[1+c.Rand().IntN(len(actives)-1)]
	delete(c.via, i)
	how(i)
}

// comeback restarts a random node that is down, with the id it had.
func (c *churn) comeback() {
	var down []int
	for i := range c.Len() {
		if !c.Up(i) {
			down = append(down, i)
		}
	}
	if len(down) > 0 {
		i := down[c.Rand().IntN(len(down))]
		c.Restart(i)
		c.enter(i)
	}
}

// crash stops up to a quarter of all nodes at once, whatever state they are in,
// but not all that are active.
func (c *churn) crash() {
	var up []int
	for i := range c.Len() {
		if c.Up(i) {
			up = append(up, i)
		}
	}
	c.Rand().Shuffle(len(up), func(i, j int) { up[i], up[j] = up[j], up[i] })
	for _, i := range up[:c.Rand().IntN(len(up)/4+1)] {
		if len(c.Actives()) > 1 {
			c.Crash(i)
		}
	}
}

// chat routes a message from a random member to a random key.
func (c *churn) chat() {
	if actives := c.Actives(); len(actives) > 0 {
		c.Route(actives[c.Rand().IntN(len(actives))], c.RandomKey(), 30*time.Second)
	}
}

// verdict says what is wrong after the quiet.
func (c *churn) verdict() error {
	r := c.Ring(func(i int) bool { return c.Up(i) })
	errs := []error{c.CheckActive(), r.CheckLeafSets(), c.CheckHistory()}
	if len(r.Nodes()) == 0 {
		errs = append(errs, fmt.Errorf("nobody is active"))
	} else {
		errs = append(errs, r.CheckKeys(200, 30*time.Second))
	}
	return errors.Join(errs...)
}
