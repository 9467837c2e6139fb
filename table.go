package pastry

import (
	"slices"

	"github.com/secondbit/pastry/ring"
)

// spares is how many contacts an entry keeps beside its primary, so that a
// silent primary can be replaced at once.
const spares = 2

// entry is one place of the routing table: the primary first, then spares, in
// order of proximity when they were inserted.
type entry [1 + spares]*Contact

// Table is the routing table. The entry at row r and column d holds nodes whose
// ids share the first r digits with self and have d as the next digit; among
// the many that qualify, near ones are kept. Rows are allocated on demand. See
// Rowstron and Druschel (2001), section 2.2.
type Table struct {
	self ring.ID
	b    int
	rows [][]entry
	size int // contacts held

	primaries int // entries that are not empty
}

// NewTable returns an empty table for digits of b bits, 1 to 8.
func NewTable(self ring.ID, b int) *Table {
	return &Table{self: self, b: b}
}

// at returns the place of id, nil if it is self or its row was never needed.
func (t *Table) at(id ring.ID) *entry {
	row := ring.SharedPrefixLen(t.self, id, t.b)
	if id == t.self || row >= len(t.rows) || t.rows[row] == nil {
		return nil
	}
	return &t.rows[row][id.Digit(row, t.b)]
}

// Lookup returns the contact for the next digit of key: the primary, or the
// first spare that skip does not pass over. It returns nil if there is none.
func (t *Table) Lookup(key ring.ID, skip func(ring.ID) bool) *Contact {
	e := t.at(key)
	if e == nil {
		return nil
	}
	for _, c := range e {
		if c != nil && (skip == nil || !skip(c.ID)) {
			return c
		}
	}
	return nil
}

// Insert puts c into its entry and reports whether it stays there. Entries are
// ordered by proximity, which returns the round trip in nanoseconds; a full one
// puts out its farthest contact. A contact that is there already is replaced.
func (t *Table) Insert(c *Contact, proximity func(*Contact) Time) bool {
	if c.ID == t.self {
		return false
	}
	e := t.grow(c.ID)
	i := slices.IndexFunc(e[:], func(o *Contact) bool { return o == nil || o == c || o.ID == c.ID })
	if i < 0 {
		i = spares
		if proximity(c) >= proximity(e[i]) {
			return false
		}
	}
	t.primaries += boolToInt(e[0] == nil)
	t.size += boolToInt(e[i] == nil)
	e[i] = c
	e.sort(proximity)
	return true
}

// sort orders an entry by proximity. It is stable.
func (e *entry) sort(proximity func(*Contact) Time) {
	if e[1] == nil {
		return
	}
	var at [1 + spares]Time
	for i, c := range e {
		if c == nil {
			break
		}
		at[i] = proximity(c)
		for k := i; k > 0 && at[k] < at[k-1]; k-- {
			at[k], at[k-1], e[k], e[k-1] = at[k-1], at[k], e[k-1], e[k]
		}
	}
}

func (t *Table) grow(id ring.ID) *entry {
	row := ring.SharedPrefixLen(t.self, id, t.b)
	for len(t.rows) <= row {
		t.rows = append(t.rows, nil)
	}
	if t.rows[row] == nil {
		t.rows[row] = make([]entry, 1<<t.b)
	}
	return &t.rows[row][id.Digit(row, t.b)]
}

func boolToInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Remove takes the node out, moving up the spares behind it. It reports whether
// the node was there, and whether its entry is empty now.
func (t *Table) Remove(id ring.ID) (was, empty bool) {
	e := t.at(id)
	if e == nil {
		return false, false
	}
	for i, c := range e {
		if c != nil && c.ID == id {
			copy(e[i:], e[i+1:])
			e[spares] = nil
			t.size--
			t.primaries -= boolToInt(e[0] == nil)
			return true, e[0] == nil
		}
	}
	return false, false
}

// Contains reports whether the table holds the node, as primary or spare.
func (t *Table) Contains(id ring.ID) bool {
	e := t.at(id)
	if e == nil {
		return false
	}
	for _, c := range e {
		if c == nil || c.ID == id {
			return c != nil
		}
	}
	return false
}

// Primary returns the primary contact of the entry id belongs to, nil if empty.
func (t *Table) Primary(id ring.ID) *Contact {
	if e := t.at(id); e != nil {
		return e[0]
	}
	return nil
}

// Rows returns the number of rows up to the last that was ever needed.
func (t *Table) Rows() int { return len(t.rows) }

// AppendRow appends the primaries of row i, by column.
func (t *Table) AppendRow(to []*Contact, i int) []*Contact {
	if i < 0 || i >= len(t.rows) {
		return to
	}
	for _, e := range t.rows[i] {
		if e[0] != nil {
			to = append(to, e[0])
		}
	}
	return to
}

// appendWholeRow appends every contact of row i, spares included, by column and
// place.
func (t *Table) appendWholeRow(to []*Contact, i int) []*Contact {
	if i < 0 || i >= len(t.rows) {
		return to
	}
	for _, e := range t.rows[i] {
		for _, c := range e {
			if c != nil {
				to = append(to, c)
			}
		}
	}
	return to
}

// AppendAll appends every contact, spares included, by row, column and place.
func (t *Table) AppendAll(to []*Contact) []*Contact {
	for i := range t.rows {
		to = t.appendWholeRow(to, i)
	}
	return to
}

// full reports whether the entry id belongs to has no room for another contact.
func (t *Table) full(id ring.ID) bool {
	e := t.at(id)
	return e != nil && e[spares] != nil
}

// count returns the contacts in a row, spares included.
func (t *Table) count(row int) (n int) {
	for _, e := range t.rows[row] {
		for _, c := range e {
			n += boolToInt(c != nil)
		}
	}
	return n
}

// countSpares returns how many contacts of a row are not primaries.
func (t *Table) countSpares(row int) (n int) {
	for _, e := range t.rows[row] {
		for _, c := range e[1:] {
			n += boolToInt(c != nil)
		}
	}
	return n
}
