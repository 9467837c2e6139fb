package experiment

import "github.com/secondbit/pastry/pb"

// purpose is why members talk about records.
type purpose uint8

const (
	forRepair purpose = iota // the policy wants it
	forWrite                 // a record is written
	forRead                  // a record is looked up
	numPurposes
)

// postage counts what members say about records.
type postage struct {
	bytes [numPurposes]uint64 // of calls and replies
	// Of those of repair, what carries records: calls to store, replies to fetch.
	moved uint64

	compares, fetches, stores uint64 // calls of repair
	writes, finds             uint64 // calls to roots
	given, fetched            uint64 // records that the other took in, that were taken in
	again                     uint64 // of both, those that were held already
	dropped                   uint64 // records handed on
	tasks, failed             [4]uint64
}

// call counts a call of so many bytes.
func (p *postage) call(why purpose, c *pb.RecordCall, size int) {
	p.bytes[why] += uint64(size)
	switch {
	case why == forWrite && c.GetStore() != nil:
		p.writes++
	case why == forRead:
		p.finds++
	case c.GetCompare() != nil:
		p.compares++
	case c.GetFetch() != nil:
		p.fetches++
	case c.GetStore() != nil:
		p.stores++
		p.moved += uint64(size)
	}
}

// reply counts a reply of so many bytes.
func (p *postage) reply(why purpose, r *pb.RecordReply, size int) {
	p.bytes[why] += uint64(size)
	if why == forRepair && r.GetFetch() != nil {
		p.moved += uint64(size)
	}
}

// compared returns the bytes of repair that carry no records.
func (p *postage) compared() uint64 { return p.bytes[forRepair] - p.moved }
