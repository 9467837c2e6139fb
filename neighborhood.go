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
	h.Remove(c.ID)
	i, _ := slices.BinarySearchFunc(h.members, at, func(n member, at Time) int {
		if n.at <= at {
			return -1
		}
		return 1
	})
	if i >= h.size {
		return
	}
	if len(h.members) == h.size {
		h.members = h.members[:h.size-1]
	}
	h.members = slices.Insert(h.members, i, member{c, at})
}

// Remove takes the node out and reports whether it was there.
func (h *Neighborhood) Remove(id ring.ID) bool {
	n := len(h.members)
	h.members = slices.DeleteFunc(h.members, func(m member) bool { return m.c.ID == id })
	return len(h.members) < n
}

// Contains reports whether the node is a member.
func (h *Neighborhood) Contains(id ring.ID) bool {
	return slices.ContainsFunc(h.members, func(m member) bool { return m.c.ID == id })
}

// AppendMembers appends the members, nearest first.
func (h *Neighborhood) AppendMembers(to []*Contact) []*Contact {
	for _, m := range h.members {
		to = append(to, m.c)
	}
	return to
}
