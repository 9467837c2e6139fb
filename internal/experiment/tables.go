package experiment

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/secondbit/pastry/internal/sim"
	"github.com/secondbit/pastry/ring"
)

// surveyWork bounds how many pairs of nodes a survey of tables compares.
const surveyWork = 20_000_000

// quality is how good the routing tables of some nodes are.
type quality struct {
	nodes   int
	rows    int // in which some node fits
	entries int // that some node fits
	missing int // of them empty
	nearest int // of them with the nearest node that fits
	delay   time.Duration
	least   time.Duration // what delay could be
}

// survey looks at the tables of random nodes, of all if the ring is small, and
// writes down how good they are.
func (s *Static) survey(ctx context.Context, p *Progress, world *sim.Sim, r *HopsReport) error {
	p.Stage("the routing tables are looked at")
	nodes := world.Actives()
	rng := rand.New(rand.NewPCG(world.Seed, 0x7ab1e))
	rng.Shuffle(len(nodes), func(i, j int) { nodes[i], nodes[j] = nodes[j], nodes[i] })
	looked := nodes[:min(len(nodes), max(50, surveyWork/len(nodes)))]
	var q quality
	for k, i := range looked {
		if err := ctx.Err(); err != nil {
			return err
		}
		p.Done(float64(k) / float64(len(looked)))
		q.look(world, i, nodes, s.DigitBits)
	}
	p.Done(1)
	r.TableNodes = q.nodes
	r.EntryNearest, r.EntryMissing = share(q.nearest, q.entries), share(q.missing, q.entries)
	r.EntryRatio = over(float64(q.delay), float64(q.least))
	r.SuboptimalARow = share(q.entries-q.nearest, q.rows)
	return nil
}

// look takes in the table of node i, whose entries may hold any of the nodes.
// The delay of an empty entry is left out.
func (q *quality) look(world *sim.Sim, i int, nodes []int, b int) {
	var rows [][]fit
	self := world.ID(i)
	for _, j := range nodes {
		if j == i {
			continue
		}
		id := world.ID(j)
		row := ring.SharedPrefixLen(self, id, b)
		for len(rows) <= row {
			rows = append(rows, make([]fit, 1<<b))
		}
		if f, d := &rows[row][id.Digit(row, b)], world.Direct(i, j); !f.any || d < f.delay {
			*f = fit{any: true, id: id, delay: d}
		}
	}
	q.nodes++
	for _, row := range rows {
		q.takeRow(world, i, row)
	}
}

// fit is the nearest node that fits an entry.
type fit struct {
	any   bool
	id    ring.ID
	delay time.Duration
}

func (q *quality) takeRow(world *sim.Sim, i int, row []fit) {
	fits := 0
	for _, f := range row {
		if !f.any {
			continue
		}
		fits++
		c := world.Node(i).Table().Primary(f.id)
		if c == nil {
			q.missing++
			continue
		}
		d := world.Direct(i, world.Index(c.Peer))
		if q.delay += d; d <= f.delay {
			q.nearest++
		}
		q.least += f.delay
	}
	if q.entries += fits; fits > 0 {
		q.rows++
	}
}
