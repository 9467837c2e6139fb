package records

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/secondbit/pastry/ring"
)

// plan is what one commit will change. The writer makes it while the store is
// as it was, so that nothing is seen that is not on the datastore.
type plan struct {
	s       *Store
	changes map[ID]*change
	order   []*change
	stakes  map[peer.ID]*stake
	staked  []*stake
	crowds  map[ring.ID][]Entry // providers of full keys, those that expire last first
	fresh   map[ring.ID]int     // provider records added
	records int                 // as they will be
	bytes   int64               // as they will be
	refused Refused
	limited Limited
}

// change is what becomes of a record.
type change struct {
	entry Entry // as it will be or, when it is removed, as it was
	row   *row  // nil when it is removed
	peer  peer.ID
	held  bool  // before the plan
	cause cause // of the removal
}

// stake is what a plan changes about a peer.
type stake struct {
	owner     // before the plan, without a number
	delta     int
	addresses *Addresses // that replace those held, nil: none
	value     []byte     // their row
}

func newPlan(s *Store) *plan {
	return &plan{
		s: s, changes: make(map[ID]*change), stakes: make(map[peer.ID]*stake),
		crowds: make(map[ring.ID][]Entry), fresh: make(map[ring.ID]int),
		records: s.stats.records(), bytes: s.stats.Bytes,
	}
}

// add decides on a request.
func (p *plan) add(q *request) {
	for i, r := range q.rows {
		q.errs[i] = p.put(q, r)
		p.refused.count(q.errs[i])
	}
	for _, a := range q.peers {
		if st := p.stake(a.Peer); st.records+st.delta > 0 {
			p.stage(st, q.where[a.Peer])
		}
	}
	for _, item := range q.drop {
		e, _, ok := p.get(item.ID)
		if ok && e.Version == item.Version && p.removable(q, e) {
			p.remove(e, q.cause)
			q.dropped++
		}
	}
}

// removable reports whether the cause for which a record is to be removed still
// holds.
func (p *plan) removable(q *request, e Entry) bool {
	switch q.cause {
	case causeExpiry:
		return expired(e.Expires, q.now)
	case causeLoss:
		if p.changes[e.ID] != nil {
			return false
		}
		_, err := p.s.read(context.Background(), e.ID)
		return errors.Is(err, errUnreadable)
	}
	return true
}

// get returns the entry of a record, and the peer that signed it, as they will
// be.
func (p *plan) get(id ID) (Entry, peer.ID, bool) {
	if c, ok := p.changes[id]; ok {
		return c.entry, c.peer, c.row != nil
	}
	e, ok := p.s.index.Get(id)
	return e, p.s.owners.slots[tagSlot(e.Tag)].peer, ok
}

// put decides whether a record goes in. The error says why not; it is nil too
// when the record is held already or spills over.
func (p *plan) put(q *request, r *row) error {
	if !r.record.Expires.After(q.now) {
		return fmt.Errorf("%w: at %v", ErrExpired, r.record.Expires)
	}
	if err := p.s.limits.checkData(r.record.Data); err != nil {
		p.limited.Record++
		return err
	}
	held, _, ok := p.get(r.id)
	if ok {
		if wanted, err := p.replaces(q.now, held, r); !wanted {
			return err
		}
	}
	if r.record.Type == TypeProvider {
		if err := p.addressed(q, r.record.Peer); err != nil {
			return err
		}
	}
	return p.fit(q, r, held, ok)
}

// replaces reports whether a record takes the place of one that is held.
func (p *plan) replaces(now time.Time, held Entry, r *row) (bool, error) {
	switch {
	case held.Version == r.record.Version:
		return expired(held.Expires, now) || p.s.suspects[held.ID], nil
	case r.record.Type == TypeValue:
		return p.replacesValue(now, held, r.record)
	case held.Version > r.record.Version:
		return false, fmt.Errorf("%w: %d, not %d", ErrStale, held.Version, r.record.Version)
	}
	return true, nil
}

func (p *plan) replacesValue(now time.Time, held Entry, r *Record) (bool, error) {
	if expired(held.Expires, now) {
		return true, nil
	}
	if c, ok := p.changes[held.ID]; ok {
		return replaces(p.s.validator, c.row.record, r)
	}
	old, err := p.s.read(context.Background(), held.ID)
	switch {
	case errors.Is(err, errUnreadable):
		return true, nil
	case err != nil:
		return false, err
	}
	return replaces(p.s.validator, old, r)
}

// addressed reports that there are no addresses, or too many, for the provider p.
func (p *plan) addressed(q *request, id peer.ID) error {
	if st := p.stake(id); st.addresses != nil || st.size > 0 {
		return nil
	}
	err := p.s.limits.checkAddresses(q.where[id])
	if errors.Is(err, ErrTooLarge) {
		p.limited.Addrs++
	}
	return err
}

// fit puts a record in if there is room for it, which a provider of a crowded
// multihash makes by spilling another.
func (p *plan) fit(q *request, r *row, held Entry, replaced bool) error {
	e := r.entry()
	spilled, spills := Entry{}, false
	if !replaced {
		if spilled, spills = p.crowded(e); spills {
			p.limited.PerKey++
		}
		if spills && spilled.ID == e.ID {
			return nil
		}
	}
	if err := p.room(q, r, int64(e.Size)-int64(held.Size)-int64(spilled.Size), replaced, spills); err != nil {
		return err
	}
	if spills {
		p.remove(spilled, causeSpill)
	}
	p.set(e, r)
	if r.record.Type == TypeProvider {
		p.stage(p.stake(r.record.Peer), q.where[r.record.Peer])
	}
	return nil
}

// room reports a limit that keeps a record out; grow is by how many bytes there
// would be more, addresses aside.
func (p *plan) room(q *request, r *row, grow int64, replaced, spills bool) error {
	l := p.s.limits
	if id := r.record.Peer; id != "" {
		st := p.stake(id)
		if !replaced && l.PerPeer > 0 && st.records+st.delta >= l.PerPeer {
			p.limited.PerPeer++
			return fmt.Errorf("%w: %d of one peer", ErrFull, l.PerPeer)
		}
		if a := q.where[id]; a != nil && r.record.Type == TypeProvider && st.size == 0 && st.addresses == nil {
			grow += int64(len(a.Sealed)) + crc32.Size
		}
	}
	switch {
	case !replaced && !spills && l.Records > 0 && p.records >= l.Records:
		p.limited.Records++
		return fmt.Errorf("%w: %d records", ErrFull, l.Records)
	case grow > 0 && l.Bytes > 0 && p.bytes+grow > l.Bytes:
		p.limited.Bytes++
		return fmt.Errorf("%w: %d bytes", ErrFull, l.Bytes)
	}
	return nil
}

// set notes that a record is put in.
func (p *plan) set(e Entry, r *row) {
	old, _, had := p.get(e.ID)
	c := p.change(e.ID, r.record.Peer)
	if had {
		p.bytes -= int64(old.Size)
		p.uncrowd(old)
	} else {
		p.records++
		p.stake(c.peer).delta++
		p.fresh[e.ID.Key]++
	}
	p.bytes += int64(e.Size)
	c.entry, c.row = e, r
	p.encrowd(e)
}

// remove notes that a record, of which e is the entry, is removed.
func (p *plan) remove(e Entry, why cause) {
	_, signer, _ := p.get(e.ID)
	c := p.change(e.ID, signer)
	c.entry, c.row, c.cause = e, nil, why
	p.records--
	p.bytes -= int64(e.Size)
	p.stake(signer).delta--
	p.uncrowd(e)
}

// change returns the change of a record, a new one if need be.
func (p *plan) change(id ID, signer peer.ID) *change {
	c, ok := p.changes[id]
	if !ok {
		_, held := p.s.index.Get(id)
		c = &change{peer: signer, held: held}
		p.changes[id] = c
		p.order = append(p.order, c)
	}
	return c
}

// stake returns what the plan changes about a peer.
func (p *plan) stake(id peer.ID) *stake {
	st, ok := p.stakes[id]
	if !ok {
		st = &stake{owner: p.s.owners.of(id)}
		p.stakes[id] = st
		p.staked = append(p.staked, st)
	}
	return st
}

// stage takes addresses of a peer in place of older ones, if there is room.
func (p *plan) stage(st *stake, a *Addresses) {
	if p.s.limits.checkAddresses(a) != nil {
		return
	}
	size, seq := st.size, st.seq
	if st.addresses != nil {
		size, seq = int64(len(st.value)), st.addresses.Seq
	}
	if size > 0 && a.Seq <= seq {
		return
	}
	value := newAddressRow(a.Sealed)
	grow := int64(len(value)) - size
	if l := p.s.limits.Bytes; size > 0 && grow > 0 && l > 0 && p.bytes+grow > l {
		p.limited.Bytes++
		return
	}
	st.addresses, st.value = a, value
	p.bytes += grow
}

func expired(ms int64, now time.Time) bool { return ms <= now.UnixMilli() }
