package experiment

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/internal/sim"
)

// tripTTL is when the origin of a lookup gives it up.
const tripTTL = 30 * time.Second

// trip is a lookup that has ended.
type trip struct {
	msg  *pastry.Routed
	from int
	path []int         // the nodes passed, from the origin to who delivered it; only the origin if nobody did
	took time.Duration // until it was delivered
	ok   bool          // delivered, and the origin knows
}

// hops returns the links crossed.
func (t *trip) hops() int { return len(t.path) - 1 }

// to returns who delivered the lookup.
func (t *trip) to() int { return t.path[len(t.path)-1] }

// length returns the delay of all links crossed, waiting left out.
func (t *trip) length(world *sim.Sim) time.Duration {
	var sum time.Duration
	for i := range t.hops() {
		sum += world.Direct(t.path[i], t.path[i+1])
	}
	return sum
}

// trips sends lookups through a world and takes down how each ended. It takes
// the world's Ended and Deliver for itself.
type trips struct {
	ctx   context.Context
	world *sim.Sim
	// ended is called for each lookup in the order in which they end.
	ended func(t *trip)

	open     int
	sent     int
	wrong    int      // delivered by another node than the root of that moment
	lost     int      // not delivered, or the origin did not learn of it
	problems []string // the first of both, described
}

func newTrips(ctx context.Context, world *sim.Sim) *trips {
	t := &trips{ctx: ctx, world: world}
	world.Deliver = t.deliver
	world.Ended = t.end
	return t
}

// deliver plays the application: it echoes, and compares the node with the root, or
// with all that may deliver.
func (t *trips) deliver(d sim.Delivery, msg *pastry.Routed) sim.Reply {
	root := t.world.Root(msg.Key)
	if root != d.Node && !slices.Contains(t.world.Closest(msg.Key, msg.Replicas), d.Node) {
		t.wrong++
		t.describe("message %x to %v from node %d was delivered at %v by node %d, the root is node %d",
			msg.ID[8:], msg.Key, t.world.Index(msg.Origin), d.At, d.Node, root)
	}
	return sim.Reply{Payload: msg.Payload}
}

func (t *trips) end(m *sim.Message) {
	t.open--
	r := &trip{msg: m.Msg, from: m.Origin, path: []int{m.Origin}, ok: m.OK() && len(m.Deliveries) > 0}
	if r.ok {
		d := &m.Deliveries[len(m.Deliveries)-1]
		for _, p := range d.Path[len(d.Path)-d.Hops:] {
			r.path = append(r.path, t.world.Index(p))
		}
		r.took = d.At - m.Sent
	} else {
		t.lost++
		code := "the origin is gone"
		if m.Answer != nil {
			code = m.Answer.Code.String()
		}
		t.describe("%v from node %d at %v, root node %d, ended after %v with %q and %d deliveries",
			m, m.Origin, m.Sent, t.world.Root(m.Msg.Key), m.Latency(), code, len(m.Deliveries))
	}
	if t.ended != nil {
		t.ended(r)
	}
}

// describe adds a line about a lookup that went wrong.
func (t *trips) describe(format string, args ...any) {
	if len(t.problems) < maxIncidents {
		line := fmt.Sprintf("seed %d: ", t.world.Seed) + fmt.Sprintf(format, args...)
		t.problems = append(t.problems, line)
	}
}

// history returns what must never have happened in a world but did, the first
// such things.
func history(world *sim.Sim) []string {
	err := world.CheckHistory()
	if err == nil {
		return nil
	}
	lines := strings.Split(err.Error(), "\n")
	for i, line := range lines {
		lines[i] = fmt.Sprintf("seed %d: %s", world.Seed, line)
	}
	return lines
}

// remarks returns a row of the given name for each line.
func remarks(name string, lines []string) []Row {
	var rows []Row
	for _, line := range lines {
		rows = append(rows, Row{Name: name, Value: line})
	}
	return rows
}

// errEmpty is returned when there is nobody to send a lookup.
var errEmpty = errors.New("no node of the ring is active")

// send sends as many lookups as asked for, each drawn when it is sent, and lets
// virtual time pass until all have ended.
func (t *trips) send(p *Progress, stage string, count int, gap time.Duration, draw func() (from int, msg *pastry.Routed)) error {
	p.Stage(stage)
	for i := range count {
		if i%256 == 0 {
			if err := t.ctx.Err(); err != nil {
				return err
			}
			p.Done(float64(i) / float64(count))
		}
		from, msg := draw()
		if from < 0 {
			return errEmpty
		}
		t.route(from, msg)
		if gap > 0 {
			t.world.Run(gap)
		}
	}
	return t.wait(p)
}

// route sends one lookup now.
func (t *trips) route(from int, msg *pastry.Routed) {
	t.sent++
	t.open++
	msg.App = sim.App
	t.world.Send(from, msg, tripTTL)
}

// wait lets virtual time pass until every lookup has ended.
func (t *trips) wait(p *Progress) error {
	t.world.RunUntil(func() bool { return t.open == 0 || t.ctx.Err() != nil }, 100*time.Millisecond, tripTTL+time.Second)
	p.Done(1)
	if err := t.ctx.Err(); err != nil {
		return err
	}
	if t.open > 0 {
		return fmt.Errorf("%d lookups never ended", t.open)
	}
	return nil
}

// toKey draws a lookup of a random key by a random node.
func (t *trips) toKey() (int, *pastry.Routed) {
	return t.world.RandomActive(), &pastry.Routed{Key: t.world.RandomKey()}
}

// toNode draws a lookup of the id of a random node by another.
func (t *trips) toNode() (int, *pastry.Routed) {
	from := t.world.RandomActive()
	if from < 0 {
		return from, nil
	}
	to := t.world.RandomActive()
	for to == from && t.world.CountActive() > 1 {
		to = t.world.RandomActive()
	}
	return from, &pastry.Routed{Key: t.world.ID(to)}
}

// tally is a set of measurements.
type tally []float64

func (t tally) sum() (sum float64) {
	for _, x := range t {
		sum += x
	}
	return sum
}

// mean returns the mean, zero if there is nothing.
func (t tally) mean() float64 { return over(t.sum(), float64(len(t))) }

// quantile returns the measurement that a share q of all is not greater than,
// zero if there is nothing. It sorts t.
func (t tally) quantile(q float64) float64 {
	slices.Sort(t)
	return rank(t, q)
}

// over returns a/b, or zero if b is zero, as in an empty mean.
func over(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

// share returns part/whole, zero of nothing.
func share[T int | uint64](part, whole T) float64 { return over(float64(part), float64(whole)) }

// percent returns a share in words.
func percent(x float64) string { return fmt.Sprintf("%.4g %%", 100*x) }
