package records

import (
	"cmp"
	"slices"

	"github.com/secondbit/pastry/ring"
)

// crowded returns which provider record has to go for the new one e, maybe e
// itself. It reports false when none has to.
func (p *plan) crowded(e Entry) (Entry, bool) {
	most, key := p.s.limits.PerKey, e.ID.Key
	if most <= 0 || tagType(e.Tag) != TypeProvider {
		return Entry{}, false
	}
	crowd, ok := p.crowds[key]
	if !ok {
		if p.s.index.Summary(Arc{key, key}).Count+p.fresh[key] < most {
			return Entry{}, false
		}
		crowd = p.crowd(key)
		p.crowds[key] = crowd
	}
	if len(crowd) < most {
		return Entry{}, false
	}
	if last := crowd[len(crowd)-1]; compareExpiry(e, last) < 0 {
		return last, true
	}
	return e, true
}

// crowd returns the entries of the provider records of a key as they will be.
func (p *plan) crowd(key ring.ID) []Entry {
	crowd := p.s.providersOf(key)
	crowd = slices.DeleteFunc(crowd, func(e Entry) bool { return p.changes[e.ID] != nil })
	for _, c := range p.order {
		if c.row != nil && c.entry.ID.Key == key && c.row.record.Type == TypeProvider {
			crowd = append(crowd, c.entry)
		}
	}
	slices.SortFunc(crowd, compareExpiry)
	return crowd
}

// encrowd notes that e is put in.
func (p *plan) encrowd(e Entry) {
	if crowd, ok := p.crowds[e.ID.Key]; ok && tagType(e.Tag) == TypeProvider {
		at, _ := slices.BinarySearchFunc(crowd, e, compareExpiry)
		p.crowds[e.ID.Key] = slices.Insert(crowd, at, e)
	}
}

// uncrowd notes that e is removed, or replaced.
func (p *plan) uncrowd(e Entry) {
	if crowd, ok := p.crowds[e.ID.Key]; ok {
		if at, ok := slices.BinarySearchFunc(crowd, e, compareExpiry); ok {
			p.crowds[e.ID.Key] = slices.Delete(crowd, at, at+1)
		}
	}
}

// compareExpiry orders entries: what expires last comes first, and of those that
// expire at once the one with the smaller ID.
func compareExpiry(a, b Entry) int {
	if c := cmp.Compare(b.Expires, a.Expires); c != 0 {
		return c
	}
	return a.ID.Compare(b.ID)
}
