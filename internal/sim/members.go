package sim

import (
	"slices"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/ring"
)

// members are the active nodes: in the order of their ids, to find the root of a
// key, and in none, to draw one. The order is kept in chunks, so that a change
// moves a chunk at most.
type members struct {
	chunks [][]point // none of them empty
	drawn  []int32
}

// point is an active node on the ring.
type point struct {
	id   ring.ID
	node int32
}

// maxChunk is the length at which a chunk is split.
const maxChunk = 512

// seek returns where the first point at or after id is, or would be.
func (m *members) seek(id ring.ID) (chunk, place int) {
	chunk, found := slices.BinarySearchFunc(m.chunks, id, func(c []point, id ring.ID) int { return c[0].id.Compare(id) })
	if found {
		return chunk, 0
	}
	if chunk == 0 {
		return 0, 0
	}
	chunk--
	place, _ = slices.BinarySearchFunc(m.chunks[chunk], id, func(p point, id ring.ID) int { return p.id.Compare(id) })
	return chunk, place
}

func (m *members) insert(n *node) {
	n.drawn = int32(len(m.drawn))
	m.drawn = append(m.drawn, n.index)
	p := point{n.contact.ID, n.index}
	if len(m.chunks) == 0 {
		m.chunks = [][]point{{p}}
		return
	}
	i, k := m.seek(p.id)
	c := slices.Insert(m.chunks[i], k, p)
	if len(c) >= maxChunk {
		m.chunks = slices.Insert(m.chunks, i+1, append(make([]point, 0, maxChunk), c[maxChunk/2:]...))
		c = c[:maxChunk/2]
	}
	m.chunks[i] = c
}

func (m *members) remove(n *node, nodes []*node) {
	last := m.drawn[len(m.drawn)-1]
	m.drawn[n.drawn] = last
	nodes[last].drawn = n.drawn
	m.drawn = m.drawn[:len(m.drawn)-1]
	i, k := m.seek(n.contact.ID)
	m.chunks[i] = slices.Delete(m.chunks[i], k, k+1)
	if len(m.chunks[i]) == 0 {
		m.chunks = slices.Delete(m.chunks, i, i+1)
	}
}

// cursor is a place in the ring of members, which must not be empty.
type cursor struct {
	m            *members
	chunk, place int
}

// from returns the place of the first member at or after id.
func (m *members) from(id ring.ID) cursor {
	i, k := m.seek(id)
	c := cursor{m, i, k}
	if k == len(m.chunks[i]) {
		c.place--
		c.up()
	}
	return c
}

func (c *cursor) point() point { return c.m.chunks[c.chunk][c.place] }

func (c *cursor) up() {
	if c.place++; c.place == len(c.m.chunks[c.chunk]) {
		c.chunk, c.place = (c.chunk+1)%len(c.m.chunks), 0
	}
}

func (c *cursor) down() {
	if c.place--; c.place < 0 {
		c.chunk = (c.chunk + len(c.m.chunks) - 1) % len(c.m.chunks)
		c.place = len(c.m.chunks[c.chunk]) - 1
	}
}

// setState notes the state of a node, and whether it is an active member.
func (s *Sim) setState(n *node, state pastry.State) {
	if n.state == pastry.StateJoining && !n.contact.Client {
		s.joiners--
	}
	if state == pastry.StateJoining && !n.contact.Client {
		s.joiners++
	}
	was, is := n.state == pastry.StateActive, state == pastry.StateActive
	n.state = state
	switch {
	case is && !was:
		n.tookAt = s.now
		s.members.insert(n)
	case was && !is:
		s.members.remove(n, s.nodes)
	}
}

// CountActive returns the number of active members.
func (s *Sim) CountActive() int { return len(s.members.drawn) }

// RandomActive draws an active member, each with the same probability. It
// returns -1 if there is none.
func (s *Sim) RandomActive() int {
	if len(s.members.drawn) == 0 {
		return -1
	}
	return int(s.members.drawn[s.rng.IntN(len(s.members.drawn))])
}

// Root returns the active member that is closest to key at this moment, -1 if
// there is none.
func (s *Sim) Root(key ring.ID) int {
	if s.CountActive() == 0 {
		return -1
	}
	above := s.members.from(key)
	below := above
	below.down()
	if a, b := above.point(), below.point(); ring.Closer(key, b.id, a.id) {
		return int(b.node)
	} else {
		return int(a.node)
	}
}

// Closest returns the k active members closest to key at this moment, nearest
// first, or all if they are fewer.
func (s *Sim) Closest(key ring.ID, k int) []int {
	k = min(k, s.CountActive())
	if k <= 0 {
		return nil
	}
	above := s.members.from(key)
	below := above
	below.down()
	is := make([]int, 0, k)
	for len(is) < k {
		if a, b := above.point(), below.point(); ring.Closer(key, b.id, a.id) {
			is = append(is, int(b.node))
			below.down()
		} else {
			is = append(is, int(a.node))
			above.up()
		}
	}
	return is
}
