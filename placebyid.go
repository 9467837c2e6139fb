package pastry

import "github.com/secondbit/pastry/ring"

// placeByID finds the place of a contact in a slice to which contacts are only
// added, each once. It is a hash table with open addressing.
type placeByID struct {
	slots []uint16 // place plus one, zero for none; a power of two of them
}

// find returns the place of the contact with an id, -1 if there is none.
func (p *placeByID) find(in []*Contact, id ring.ID) int {
	if len(p.slots) == 0 {
		return -1
	}
	for i := p.start(id); p.slots[i] != 0; i = (i + 1) % len(p.slots) {
		if at := int(p.slots[i]) - 1; in[at].ID == id {
			return at
		}
	}
	return -1
}

// added takes in the last contact of the slice.
func (p *placeByID) added(in []*Contact) {
	from := len(in) - 1
	if 2*len(in) > len(p.slots) {
		p.slots, from = make([]uint16, max(64, 4*len(p.slots))), 0
	}
	for at := from; at < len(in); at++ {
		i := p.start(in[at].ID)
		for p.slots[i] != 0 {
			i = (i + 1) % len(p.slots)
		}
		p.slots[i] = uint16(at + 1)
	}
}

func (p *placeByID) start(id ring.ID) int {
	_, lo := id.Uint64s()
	return int(lo % uint64(len(p.slots)))
}
