package sim

import (
	"fmt"
	"slices"
	"time"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/ring"
)

// Ring is the truth about a set of nodes: their order on the ring.
type Ring struct {
	s     *Sim
	nodes []int // by id
}

// Ring returns the ring of all active nodes for which among returns true; nil
// takes all.
func (s *Sim) Ring(among func(i int) bool) *Ring {
	r := &Ring{s: s}
	for i := range s.nodes {
		if s.Active(i) && (among == nil || among(i)) {
			r.nodes = append(r.nodes, i)
		}
	}
	slices.SortFunc(r.nodes, func(a, b int) int { return s.ID(a).Compare(s.ID(b)) })
	return r
}

// Nodes returns the nodes in the order of their ids.
func (r *Ring) Nodes() []int { return r.nodes }

// search returns the place of the first node at or after id, and whether it has
// that very id.
func (r *Ring) search(id ring.ID) (int, bool) {
	return slices.BinarySearchFunc(r.nodes, id, func(i int, id ring.ID) int { return r.s.ID(i).Compare(id) })
}

// at returns the node at a place, counted round the ring.
func (r *Ring) at(i int) int {
	n := len(r.nodes)
	return r.nodes[((i%n)+n)%n]
}

// Root returns the node closest to key. The ring must not be empty.
func (r *Ring) Root(key ring.ID) int {
	i, _ := r.search(key)
	above, below := r.at(i), r.at(i-1)
	if ring.Closer(key, r.s.ID(below), r.s.ID(above)) {
		return below
	}
	return above
}

// Side returns the nodes that one side of node i's leaf set must hold, nearest
// first: the L/2 nearest, or all others if there are fewer.
func (r *Ring) Side(i int, up bool) []int {
	place, ok := r.search(r.s.ID(i))
	if !ok {
		return nil
	}
	var side []int
	for k := 1; k <= min(r.s.nodes[i].half, len(r.nodes)-1); k++ {
		if up {
			side = append(side, r.at(place+k))
		} else {
			side = append(side, r.at(place-k))
		}
	}
	return side
}

// CheckLeafSets returns an error that names the leaf sets which are not exact.
func (r *Ring) CheckLeafSets() error {
	var errs []error
	for _, i := range r.nodes {
		if r.s.nodes[i].raw == nil {
			continue // the leaf set it will have is exact, as the ring has not changed
		}
		leaves := r.s.nodes[i].raw.Leaves()
		if err := r.compare(i, false, leaves.Smaller()); err != nil {
			errs = append(errs, err)
		}
		if err := r.compare(i, true, leaves.Larger()); err != nil {
			errs = append(errs, err)
		}
	}
	return few(errs)
}

func (r *Ring) compare(i int, up bool, side []*pastry.Contact) error {
	var got []int
	for _, c := range side {
		got = append(got, indexOf(c.Peer))
	}
	want := r.Side(i, up)
	if slices.Equal(got, want) {
		return nil
	}
	return fmt.Errorf("node %d has %s leaves %v, want %v", i, map[bool]string{false: "smaller", true: "larger"}[up], got, want)
}

// CheckActive returns an error that names the nodes which run but are not active
// members; clients are left out.
func (s *Sim) CheckActive() error {
	var errs []error
	for i, n := range s.nodes {
		if n.up && !n.contact.Client && n.joinAt != 0 && n.state != pastry.StateActive {
			errs = append(errs, fmt.Errorf("node %d is %v, %v after it was to join", i, n.state, time.Duration(s.now-n.joinAt)))
		}
	}
	return few(errs)
}

// CheckKeys routes messages to the given number of random keys, each from a
// random node of the ring, and returns an error unless each is delivered by the
// true root, and only there, and its origin learns of it. It lets virtual time
// pass: until all have ended, at most ttl and a little.
func (r *Ring) CheckKeys(keys int, ttl time.Duration) error {
	var ms []*Message
	for range keys {
		from := r.nodes[r.s.rng.IntN(len(r.nodes))]
		ms = append(ms, r.s.Route(from, r.s.RandomKey(), ttl))
		r.s.Run(time.Millisecond)
	}
	r.s.RunUntil(func() bool {
		return !slices.ContainsFunc(ms, func(m *Message) bool { return m.Answer == nil })
	}, 100*time.Millisecond, ttl+time.Second)
	var errs []error
	for _, m := range ms {
		if err := r.CheckMessage(m); err != nil {
			errs = append(errs, err)
		}
	}
	return few(errs)
}

// CheckMessage returns an error unless the message was delivered by the true root
// of its key, and only there, and its origin learned of it.
func (r *Ring) CheckMessage(m *Message) error {
	root := r.Root(m.Msg.Key)
	switch {
	case m.Answer == nil:
		return fmt.Errorf("%v from node %d never ended", m, m.Origin)
	case m.Answer.Code != pastry.CodeOK:
		return fmt.Errorf("%v from node %d to root %d ended with %v after %v", m, m.Origin, root, m.Answer.Code, m.Latency())
	case len(m.Deliveries) != 1:
		return fmt.Errorf("%v from node %d was delivered %d times", m, m.Origin, len(m.Deliveries))
	case m.Deliveries[0].Node != root:
		return fmt.Errorf("%v from node %d was delivered by %d, want %d", m, m.Origin, m.Deliveries[0].Node, root)
	case m.Answer.Root != r.s.nodes[root].contact.Peer:
		return fmt.Errorf("%v from node %d: receipt names %v, want %v", m, m.Origin, m.Answer.Root, r.s.nodes[root].contact.Peer)
	}
	return nil
}
