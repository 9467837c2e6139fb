package pastry

import (
	"slices"

	"github.com/secondbit/pastry/ring"
)

// Neighborhood holds the M nearest nodes by proximity. It serves to find good
// table entries and to lead joiners to a nearby member; routing does not use
// it. See Rowstron and Druschel (2001), section 2.2.
type Neighborhood struct {
	size    int
	members []member // nearest first
	low     []uint64 // the lower halves of the members' ids, to find one fast
}

type member struct {
	c  *Contact
	at Time // round trip when it was inserted
}

// NewNeighborhood returns an empty set for at most m members.
func NewNeighborhood(m int) *Neighborhood { return &Neighborhood{size: m} }

// Wants reports whether a node at this round trip would be taken in.
func (h *Neighborhood) Wants(at Time) bool {
	n := len(h.members)
	return n < h.size || n > 0 && at < h.members[n-1].at
}

// Insert takes in c, at the given round trip in nanoseconds, and puts out the
// farthest member if there are too many. A member is moved to its new place.
func (h *Neighborhood) Insert(c *Contact, at Time) {
	if i := h.find(c.ID); i >= 0 {
		if m := &h.members[i]; m.at == at && (i+1 == len(h.members) || h.members[i+1].at > at) {
			m.c = c
			return
		}
		h.delete(i)
	}
	i, _ := slices.BinarySearchFunc(h.members, at, func(n member, at Time) int {
		if n.at <= at {
			return -1
		}
		return 1
	})
	if i >= h.size {
		return
	}
	if last := h.size - 1; len(h.members) == h.size {
		h.members, h.low = h.members[:last], h.low[:last]
	}
	h.members, h.low = slices.Insert(h.members, i, member{c, at}), slices.Insert(h.low, i, lowHalf(c.ID))
}

// Remove takes the node out and reports whether it was there.
func (h *Neighborhood) Remove(id ring.ID) bool {
	i := h.find(id)
	if i >= 0 {
		h.delete(i)
	}
	return i >= 0
}

func (h *Neighborhood) delete(i int) {
	h.members, h.low = slices.Delete(h.members, i, i+1), slices.Delete(h.low, i, i+1)
}

// find returns the place of a member, -1 if the node is none.
func (h *Neighborhood) find(id ring.ID) int {
	low := lowHalf(id)
	for i, l := range h.low {
		if l == low && h.members[i].c.ID == id {
			return i
		}
	}
	return -1
}

// Contains reports whether the node is a member.
func (h *Neighborhood) Contains(id ring.ID) bool { return h.find(id) >= 0 }

// AppendMembers appends the members, nearest first.
func (h *Neighborhood) AppendMembers(to []*Contact) []*Contact {
	for _, m := range h.members {
		to = append(to, m.c)
	}
	return to
}
