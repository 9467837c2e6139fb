package records

import ds "github.com/ipfs/go-datastore"

// puts returns the rows that a plan writes.
func (p *plan) puts() (puts []put) {
	for _, st := range p.staked {
		if st.addresses != nil && st.records+st.delta > 0 {
			puts = append(puts, put{addressKey(st.peer), st.value})
		}
	}
	for _, c := range p.order {
		if c.row != nil {
			puts = append(puts, put{c.row.key, c.row.value})
		}
	}
	return puts
}

// deletes returns the rows of records that a plan removes, and the rows of the
// addresses of peers that then have none. Those must stay until the records are
// gone.
func (p *plan) deletes() (records, addresses []ds.Key) {
	for _, c := range p.order {
		if c.row == nil && c.held {
			records = append(records, rowKey(c.entry.ID))
		}
	}
	for _, st := range p.staked {
		if st.size > 0 && st.records+st.delta == 0 {
			addresses = append(addresses, addressKey(st.peer))
		}
	}
	return records, addresses
}

// install indexes what a plan has put on the datastore.
func (s *Store) install(p *plan) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Commits++
	for _, c := range p.order {
		if c.row != nil {
			s.insert(c.entry, c.row.record)
			delete(s.suspects, c.entry.ID)
			s.stats.Stored++
		}
	}
	for _, st := range p.staked {
		if slot, ok := s.owners.at[st.peer]; ok && st.addresses != nil {
			s.setAddresses(&s.owners.slots[slot], st.addresses.Seq, int64(len(st.value)))
		}
	}
}

// uninstall forgets what a plan has removed from the datastore.
func (s *Store) uninstall(p *plan) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Commits++
	for _, c := range p.order {
		if c.row == nil && c.held {
			s.delete(c.entry.ID)
			delete(s.suspects, c.entry.ID)
			*s.stats.removed(c.cause)++
		}
	}
}

// suspect notes the records that a plan may have removed or not.
func (s *Store) suspect(p *plan) {
	for _, c := range p.order {
		if c.row == nil && c.held {
			s.suspects[c.entry.ID] = true
		}
	}
}

// failPuts makes err the outcome of all that the plan would have put in, and of
// all that was refused for it.
func (p *plan) failPuts(group []*request, err error) {
	for _, q := range group {
		for i, r := range q.rows {
			if p.changes[r.id] != nil {
				q.errs[i] = err
			}
		}
	}
}
