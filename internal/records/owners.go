package records

import "github.com/libp2p/go-libp2p/core/peer"

// owner is a peer that has signed records held here.
type owner struct {
	peer    peer.ID
	records int
	// The sequence number and the size of the row of its addresses. A peer that
	// has no provider record here may have none: size is 0.
	seq  uint64
	size int64
}

// owners numbers peers, as a number is smaller than the peer ID in the entry of
// each record. Numbers start at 1 and are used again.
type owners struct {
	slots []owner // the first one stands for all values
	free  []uint32
	at    map[peer.ID]uint32
}

func newOwners() owners { return owners{slots: make([]owner, 1), at: make(map[peer.ID]uint32)} }

// of returns what is known of p.
func (o *owners) of(p peer.ID) owner {
	if slot, ok := o.at[p]; ok {
		return o.slots[slot]
	}
	return owner{peer: p}
}

// slot returns the number of p, a new one if need be.
func (o *owners) slot(p peer.ID) uint32 {
	if slot, ok := o.at[p]; ok {
		return slot
	}
	if n := len(o.free); n > 0 {
		slot := o.free[n-1]
		o.free = o.free[:n-1]
		o.slots[slot], o.at[p] = owner{peer: p}, slot
		return slot
	}
	o.slots = append(o.slots, owner{peer: p})
	slot := uint32(len(o.slots) - 1)
	o.at[p] = slot
	return slot
}

// release forgets a peer and its number.
func (o *owners) release(slot uint32) {
	delete(o.at, o.slots[slot].peer)
	o.slots[slot] = owner{}
	o.free = append(o.free, slot)
}

// The tag of an entry is the type of the record in the lowest tagBits and the
// number of the peer that signed it above, 0 for a value.
const tagBits = 2

func tag(slot uint32, t Type) uint32 { return slot<<tagBits | uint32(t) }

func tagType(tag uint32) Type { return Type(tag & (1<<tagBits - 1)) }

func tagSlot(tag uint32) uint32 { return tag >> tagBits }
