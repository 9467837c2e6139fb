package pastry

import "github.com/secondbit/pastry/ring"

// peerSet holds the peers of a node by their ids. It is a hash table with open
// addressing: a node looks its peers up several times for every packet, and most
// of those are in memory that no cache has.
type peerSet struct {
	slots []peerSlot // a power of two, at most three quarters taken
	count int
	salt  uint64 // odd; nobody else knows it, so that nobody can choose ids that collide
}

// peerSlot is free if p is nil.
type peerSlot struct {
	id ring.ID // p's, so that p and its contact are not looked at to find it
	p  *peerState
}

const minPeerSlots = 8

func lowHalf(id ring.ID) uint64 {
	_, low := id.Uint64s()
	return low
}

// home returns the slot that a peer takes if it is free.
func (s *peerSet) home(id ring.ID) int {
	hash := lowHalf(id) * s.salt
	return int((hash ^ hash>>32) & uint64(len(s.slots)-1))
}

func (s *peerSet) len() int { return s.count }

// get returns the peer with an id, nil if there is none.
func (s *peerSet) get(id ring.ID) *peerState {
	if i := s.find(id); i >= 0 {
		return s.slots[i].p
	}
	return nil
}

// find returns the slot of the peer with an id, -1 if there is none.
func (s *peerSet) find(id ring.ID) int {
	if s.count == 0 {
		return -1
	}
	for i := s.home(id); s.slots[i].p != nil; i = (i + 1) & (len(s.slots) - 1) {
		if s.slots[i].id == id {
			return i
		}
	}
	return -1
}

// add takes in a peer whose id is not in the set.
func (s *peerSet) add(p *peerState) {
	if 4*(s.count+1) > 3*len(s.slots) {
		s.resize(max(minPeerSlots, 2*len(s.slots)))
	}
	s.count++
	s.put(peerSlot{p.c.ID, p})
}

func (s *peerSet) put(slot peerSlot) {
	i := s.home(slot.id)
	for s.slots[i].p != nil {
		i = (i + 1) & (len(s.slots) - 1)
	}
	s.slots[i] = slot
}

func (s *peerSet) resize(slots int) {
	old := s.slots
	s.slots = make([]peerSlot, slots)
	for _, slot := range old {
		if slot.p != nil {
			s.put(slot)
		}
	}
}

// remove takes a peer out, and moves those that gave way to it into its place.
func (s *peerSet) remove(id ring.ID) {
	hole := s.find(id)
	if hole < 0 {
		return
	}
	mask := len(s.slots) - 1
	for i := (hole + 1) & mask; s.slots[i].p != nil; i = (i + 1) & mask {
		if far := (i - s.home(s.slots[i].id)) & mask; far >= (i-hole)&mask {
			s.slots[hole] = s.slots[i]
			hole = i
		}
	}
	s.slots[hole] = peerSlot{}
	s.count--
}

// all yields every peer, in an order that means nothing. The set must not be
// changed meanwhile.
func (s *peerSet) all() func(yield func(*peerState) bool) {
	return func(yield func(*peerState) bool) {
		for _, slot := range s.slots {
			if slot.p != nil && !yield(slot.p) {
				return
			}
		}
	}
}

// removeIf takes out every peer for which f, given its id and state, returns true.
// While it runs peers cannot be found behind the holes it leaves, so f must not look
// into the set.
func (s *peerSet) removeIf(f func(ring.ID, *peerState) bool) {
	left := 0
	for i := range s.slots {
		if slot := &s.slots[i]; slot.p != nil {
			if f(slot.id, slot.p) {
				slot.p = nil
			} else {
				left++
			}
		}
	}
	if left == s.count {
		return
	}
	s.count = left
	slots := minPeerSlots
	for 4*left > 3*slots {
		slots *= 2
	}
	s.resize(slots)
}
