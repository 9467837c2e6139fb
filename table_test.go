package pastry

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/secondbit/pastry/ring"
)

// proximities is a made-up metric: round trips by id, farther than any for
// others.
type proximities map[ring.ID]Time

func (p proximities) of(c *Contact) Time {
	if d, ok := p[c.ID]; ok {
		return d
	}
	return 1 << 62
}

// hexID returns the id whose first digits are those given in hexadecimal.
func hexID(digits string) ring.ID {
	id, err := ring.Parse((digits + "00000000000000000000000000000000")[:32])
	if err != nil {
		panic(err)
	}
	return id
}

func hexes(cs []*Contact) []string {
	got := []string{}
	for _, c := range cs {
		got = append(got, c.ID.String()[:4])
	}
	return got
}

func wantHexes(t *testing.T, what string, cs []*Contact, want ...string) {
	t.Helper()
	if diff := cmp.Diff(hexes(cs), append([]string{}, want...)); diff != "" {
		t.Errorf("%s is not as wanted (-got +want):\n%s", what, diff)
	}
}

func TestTableRowsOnDemand(t *testing.T) {
	table := NewTable(hexID("1234"), 4)
	if table.Rows() != 0 || table.at(hexID("1237")) != nil {
		t.Errorf("an empty table has %d rows, want none", table.Rows())
	}
	near := proximities{}
	table.Insert(contactAt(hexID("1237")), near.of)
	if got := table.Rows(); got != 4 {
		t.Errorf("%d rows after an insertion in row 3, want 4", got)
	}
	for row, want := range []bool{false, false, false, true} {
		if got := table.rows[row] != nil; got != want {
			t.Errorf("row %d is allocated: %t, want %t", row, got, want)
		}
	}
	table.Insert(contactAt(hexID("8")), near.of)
	wantHexes(t, "row 0", table.AppendRow(nil, 0), "8000")
	wantHexes(t, "row 1", table.AppendRow(nil, 1))
	wantHexes(t, "row 3", table.AppendRow(nil, 3), "1237")
	wantHexes(t, "a row below zero", table.AppendRow(nil, -1))
	wantHexes(t, "a row beyond the last", table.AppendRow(nil, 99))
}

func TestTableSpares(t *testing.T) {
	near := proximities{hexID("81"): 40, hexID("82"): 20, hexID("83"): 30, hexID("84"): 10, hexID("85"): 50}
	table := NewTable(hexID("1"), 4)
	for _, step := range []struct {
		insert string
		stays  bool
		entry  []string
	}{
		{"81", true, []string{"8100"}},
		{"82", true, []string{"8200", "8100"}},
		{"83", true, []string{"8200", "8300", "8100"}},
		{"84", true, []string{"8400", "8200", "8300"}},
		{"85", false, []string{"8400", "8200", "8300"}},
		{"81", false, []string{"8400", "8200", "8300"}},
	} {
		if got := table.Insert(contactAt(hexID(step.insert)), near.of); got != step.stays {
			t.Errorf("insertion of %s: %t, want %t", step.insert, got, step.stays)
		}
		wantHexes(t, "the entry after "+step.insert, table.AppendAll(nil), step.entry...)
	}
	for _, step := range []struct {
		remove     string
		was, empty bool
		entry      []string
	}{
		{"85", false, false, []string{"8400", "8200", "8300"}},
		{"84", true, false, []string{"8200", "8300"}},
		{"83", true, false, []string{"8200"}},
		{"82", true, true, nil},
		{"82", false, false, nil},
		{"1", false, false, nil},
		{"f", false, false, nil},
	} {
		was, empty := table.Remove(hexID(step.remove))
		if was != step.was || empty != step.empty {
			t.Errorf("removal of %s: was %t, empty %t; want %t, %t", step.remove, was, empty, step.was, step.empty)
		}
		wantHexes(t, "the entry without "+step.remove, table.AppendAll(nil), step.entry...)
	}
}

// TestTableReinsert has a contact come again with a newer word about itself and
// another round trip: it is replaced and moves to its new place.
func TestTableReinsert(t *testing.T) {
	near := proximities{hexID("81"): 10, hexID("82"): 20}
	table := NewTable(hexID("1"), 4)
	table.Insert(contactAt(hexID("81")), near.of)
	table.Insert(contactAt(hexID("82")), near.of)
	near[hexID("82")] = 5
	newer := contactAt(hexID("82"))
	newer.Epoch = 2
	if !table.Insert(newer, near.of) {
		t.Error("a contact that is there already did not stay")
	}
	wantHexes(t, "the entry", table.AppendAll(nil), "8200", "8100")
	if got := table.Primary(hexID("82")); got != newer {
		t.Errorf("primary has epoch %d, want the newer contact", got.Epoch)
	}
}

func TestTableLookup(t *testing.T) {
	near := proximities{hexID("81"): 1, hexID("82"): 2, hexID("83"): 3}
	table := NewTable(hexID("1"), 4)
	for _, id := range []string{"83", "82", "81", "124", "1"} {
		table.Insert(contactAt(hexID(id)), near.of)
	}
	for _, tt := range []struct {
		name, key string
		skip      []string
		want      string
	}{
		{"primary", "8f", nil, "81"},
		{"first spare", "8f", []string{"81"}, "82"},
		{"second spare", "8f", []string{"81", "82"}, "83"},
		{"none left", "8f", []string{"81", "82", "83"}, ""},
		{"a deeper row", "12f", nil, "124"},
		{"empty entry", "9", nil, ""},
		{"row never needed", "1000001", nil, ""},
		{"own id", "1", nil, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := table.Lookup(hexID(tt.key), func(id ring.ID) bool {
				return slices.ContainsFunc(tt.skip, func(s string) bool { return hexID(s) == id })
			})
			if tt.want == "" && got != nil || tt.want != "" && (got == nil || got.ID != hexID(tt.want)) {
				t.Errorf("Lookup(%s) is %v, want %q", tt.key, hexes([]*Contact{got}), tt.want)
			}
		})
	}
}

// TestTableAgainstModel compares the table with a plain list for every digit
// size: each entry holds the nearest three of those that were inserted and not
// removed since, as far as they were not put out.
func TestTableAgainstModel(t *testing.T) {
	for b := 1; b <= 8; b++ {
		t.Run(fmt.Sprint("b=", b), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(uint64(b), 3))
			self := ring.Random(rng)
			table, model := NewTable(self, b), tableModel{}
			near := proximities{}
			var pool []ring.ID
			for range 120 {
				// Ids that share bits with self, so that deep rows fill as well.
				hi, lo := ring.Random(rng).Uint64s()
				shift := uint(rng.IntN(64))
				id := self.Add(ring.FromUint64s(hi>>shift, lo))
				pool = append(pool, id)
				near[id] = Time(len(pool)*37%121 + 1)
			}
			pool = append(pool, self)
			for range 3000 {
				id := pool[rng.IntN(len(pool))]
				if rng.IntN(3) > 0 {
					got := table.Insert(contactAt(id), near.of)
					if want := model.insert(self, id, b, near); got != want {
						t.Fatalf("insertion of %v: %t, want %t", id, got, want)
					}
				} else {
					was, empty := table.Remove(id)
					wantWas, wantEmpty := model.remove(self, id, b)
					if was != wantWas || empty != wantEmpty {
						t.Fatalf("removal of %v: %t, %t, want %t, %t", id, was, empty, wantWas, wantEmpty)
					}
				}
				model.check(t, table, pool)
			}
		})
	}
}

// place is an entry's row and column.
type place struct{ row, column int }

func placeOf(self, id ring.ID, b int) place {
	row := 0
	for row < ring.NumDigits(b) && self.Digit(row, b) == id.Digit(row, b) {
		row++
	}
	return place{row, id.Digit(min(row, ring.NumDigits(b)-1), b)}
}

type tableModel map[place][]ring.ID

func (m tableModel) insert(self, id ring.ID, b int, near proximities) bool {
	if id == self {
		return false
	}
	at := placeOf(self, id, b)
	if !slices.Contains(m[at], id) {
		m[at] = append(m[at], id)
	}
	slices.SortFunc(m[at], func(a, b ring.ID) int { return int(near[a] - near[b]) })
	m[at] = m[at][:min(len(m[at]), 1+spares)]
	return slices.Contains(m[at], id)
}

func (m tableModel) remove(self, id ring.ID, b int) (was, empty bool) {
	at := placeOf(self, id, b)
	i := slices.Index(m[at], id)
	if i < 0 {
		return false, false
	}
	m[at] = slices.Delete(m[at], i, i+1)
	return true, len(m[at]) == 0
}

func (m tableModel) check(t *testing.T, table *Table, pool []ring.ID) {
	t.Helper()
	var want []ring.ID
	var places []place
	for at := range m {
		places = append(places, at)
	}
	slices.SortFunc(places, func(a, b place) int { return (a.row-b.row)*1000 + a.column - b.column })
	for _, at := range places {
		want = append(want, m[at]...)
	}
	var got []ring.ID
	for _, c := range table.AppendAll(nil) {
		got = append(got, c.ID)
	}
	if !slices.Equal(got, want) {
		t.Fatalf("table holds %v, want %v", got, want)
	}
	counted := 0
	for row := range table.Rows() {
		counted += table.count(row)
		if got, want := table.countSpares(row), table.count(row)-len(table.AppendRow(nil, row)); got != want {
			t.Fatalf("row %d has %d spares, want %d", row, got, want)
		}
	}
	if counted != len(want) {
		t.Fatalf("rows count %d contacts, want %d", counted, len(want))
	}
	for _, id := range pool {
		if got, want := table.Contains(id), slices.Contains(want, id); got != want {
			t.Fatalf("Contains(%v) is %t, want %t", id, got, want)
		}
	}
}

// TestTableIsSmall bounds the memory of the table of one of many nodes.
func TestTableIsSmall(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 4))
	table := NewTable(ring.Random(rng), 4)
	near := func(*Contact) Time { return Time(time.Millisecond) }
	for range 100_000 {
		table.Insert(contactAt(ring.Random(rng)), near)
	}
	bytes := 0
	for _, row := range table.rows {
		bytes += 24 + len(row)*len(entry{})*8
	}
	if bytes > 4<<10 {
		t.Errorf("the table of one of 100,000 nodes takes %d bytes in %d rows, want at most 4 KiB", bytes, table.Rows())
	}
}
