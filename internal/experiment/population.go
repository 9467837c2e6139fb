package experiment

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/internal/sim"
)

// joinPatience is after how long a node that has not joined is told of another
// member.
const joinPatience = 30 * time.Second

// population makes nodes come and go: arrivals are a Poisson process, and a node
// stays, from the moment it is told to join, for an exponentially distributed
// session. As many come as go, on average. Whoever comes is a new node with an
// id of its own; it joins through one random member, and is told of another when
// it is not active after joinPatience. How it goes is for depart to say.
type population struct {
	world   *sim.Sim
	rng     *rand.Rand // of who comes and goes, not the network's
	size    int
	session time.Duration
	depart  func(i int) // sees to it that a node goes when its session is over
	calm    bool        // nobody comes or goes any more

	joining    map[int]time.Duration // since when
	counts     Coming
	took       []time.Duration // from being told to join to being active
	lastActive time.Duration   // when the last one became active
}

// Coming counts who came and went.
type Coming struct {
	Arrived  int     `json:"arrived"`
	Joined   int     `json:"joined"`
	Crashed  int     `json:"crashed"`
	Left     int     `json:"left"`
	Retold   int     `json:"joins_retold"` // times a joiner was told of another member
	JoinP50  float64 `json:"join_p50_seconds"`
	JoinP90  float64 `json:"join_p90_seconds"`
	JoinP99  float64 `json:"join_p99_seconds"`
	JoinMost float64 `json:"join_max_seconds"`
}

func newPopulation(world *sim.Sim, rng *rand.Rand, size int, session time.Duration, depart func(i int)) *population {
	return &population{
		world: world, rng: rng, size: size, session: session, depart: depart,
		joining: make(map[int]time.Duration),
	}
}

// start begins the unrest: everybody there has the rest of a session left.
func (p *population) start() {
	for _, i := range p.world.Actives() {
		p.depart(i)
	}
	p.await()
}

func (p *population) exponential(mean time.Duration) time.Duration {
	return time.Duration(p.rng.ExpFloat64() * float64(mean))
}

// await waits for the next arrival.
func (p *population) await() {
	p.world.After(p.exponential(p.session/time.Duration(p.size)), func() {
		if !p.calm {
			p.arrive()
			p.await()
		}
	})
}

// arrive lets a new node join, and returns it. It is to go by itself.
func (p *population) arrive() int {
	i := p.world.Add()
	p.counts.Arrived++
	p.joining[i] = p.world.Now()
	p.depart(i)
	p.enter(i)
	return i
}

// enter tells a node of a member to join through, and sees to it that it is told
// of another if that does not help.
func (p *population) enter(i int) {
	if via := p.world.RandomActive(); via >= 0 {
		p.world.Join(i, via)
	}
	p.world.After(joinPatience, func() {
		if _, waits := p.joining[i]; waits {
			p.counts.Retold++
			p.enter(i)
		}
	})
}

// part makes a node that is up go, by leaving if it leaves and is a member, else by
// crashing.
func (p *population) part(i int, leaves bool, leave, crash func(i int)) {
	if leaves && p.world.Active(i) {
		p.counts.Left++
		leave(i)
		return
	}
	p.counts.Crashed++
	crash(i)
}

// off makes a node fall silent. Starting it once more before frees what it knew.
func (p *population) off(i int) {
	delete(p.joining, i)
	p.world.Restart(i)
	p.world.Crash(i)
}

// watch notes who has become active. It belongs into Config.Watch.
func (p *population) watch(i int, a *pastry.Action) {
	if a.Kind != pastry.ActState || a.State != pastry.StateActive {
		return
	}
	if since, waits := p.joining[i]; waits {
		delete(p.joining, i)
		p.counts.Joined++
		p.lastActive = p.world.Now()
		p.took = append(p.took, p.world.Now()-since)
	}
}

// restart forgets what was counted.
func (p *population) restart() { p.counts, p.took = Coming{}, nil }

// take returns who came and went since the last restart.
func (p *population) take() Coming {
	c := p.counts
	slices.Sort(p.took)
	c.JoinP50, c.JoinP90 = rank(p.took, 0.5).Seconds(), rank(p.took, 0.9).Seconds()
	c.JoinP99, c.JoinMost = rank(p.took, 0.99).Seconds(), rank(p.took, 1).Seconds()
	return c
}
