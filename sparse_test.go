package pastry

import (
	"slices"
	"testing"
	"time"
)

// TestSparse has the ring be estimated from how close the leaves are to each other. A
// row is sparse if there are at most two nodes for each of its places.
func TestSparse(t *testing.T) {
	for _, tt := range []struct {
		name string
		bits int
		gap  int // between two leaves, of the 1,000 steps round the ring
		row  int
		want bool
	}{
		{"91 nodes, 96 are few", 4, 11, 0, true},
		{"100 nodes", 4, 10, 0, false},
		{"1,000 nodes", 4, 1, 0, false},
		{"1,000 nodes, 63 in the second row", 4, 1, 1, true},
		{"22 nodes, 24 are few with short digits", 2, 45, 0, true},
		{"25 nodes, with short digits", 2, 40, 0, false},
		{"100 nodes, 25 in the second row", 2, 10, 1, false},
		{"91 nodes, 23 in the second row", 2, 11, 1, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := activeScriptWith(t, func(c *Config) { c.DigitBits = tt.bits }, around(tt.gap)...)
			if got := s.n.sparse(tt.row); got != tt.want {
				t.Errorf("row %d of a ring of about %.0f is sparse: %t, want %t", tt.row, s.n.leaves.EstimateSize(), got, tt.want)
			}
		})
	}
}

// TestSparseUnknown has nobody be in the leaf set, as it always is with a client:
// that says nothing about the ring.
func TestSparseUnknown(t *testing.T) {
	if s := activeScriptWith(t, func(*Config) {}); s.n.sparse(0) {
		t.Error("the first row is sparse to a node without leaves")
	}
}

// around returns where the four leaves of the node at 500 sit, the nearest first.
func around(gap int) []int { return []int{500 - gap, 500 + gap, 500 - 2*gap, 500 + 2*gap} }

// TestSparesSought has nodes be named, one after the other, that belong to one entry
// of the table, and answer when they are asked: in a small ring as many are asked as
// there is room for, in a large one only the first.
func TestSparesSought(t *testing.T) {
	for _, tt := range []struct {
		name string
		gap  int
		want []int
	}{
		{"small ring", 100, []int{900, 910, 920}},
		{"large ring", 1, []int{900}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := activeScriptWith(t, func(c *Config) { c.NeighborhoodSize = 1 }, around(tt.gap)...)
			next, asked := 500+2*tt.gap, []int{}
			for _, at := range []int{900, 910, 920, 930} {
				s.replies(contactAt(point(next)), s.exchange(next), contactAt(point(at)))
				for _, p := range s.sentTo(at, KindProbe) {
					asked = append(asked, at)
					s.wait(10 * time.Millisecond)
					s.replies(contactAt(point(at)), p)
				}
			}
			s.wait(0)
			if len(asked) != len(tt.want) {
				t.Fatalf("%v are asked, want %v", asked, tt.want)
			}
			row := s.n.table.appendWholeRow(nil, 0)
			wantPoints(t, "the entry", row[len(row)-len(tt.want):], tt.want...)
		})
	}
}

// TestSparesTold has the node tell of its first row, in which 900 and 910 share an
// entry: in a small ring of both, in a large one of the primary alone. A node that
// asks for it is told the same as a joiner.
func TestSparesTold(t *testing.T) {
	for _, tt := range []struct {
		name string
		gap  int
		want []int
	}{
		{"small ring", 100, []int{300, 400, 600, 700, 900, 910}},
		{"large ring", 1, []int{499, 900}}, // 498 is a spare of 499
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := activeScriptWith(t, func(*Config) {}, append(around(tt.gap), 900, 910)...)
			s.hear(contactAt(point(500+tt.gap)), &Packet{Kind: KindProbe, Seq: 3, Want: WantRow, Row: 0})
			wantPoints(t, "the row told to a member", s.one(500+tt.gap, KindProbeReply).Contacts, tt.want...)
			join := messageFrom(905, point(905), 1)
			join.Join = true
			s.hear(contactAt(point(500-tt.gap)), routePacket(join, 7))
			got := s.one(900, KindRoute).Contacts
			wantPoints(t, "the contacts told to a joiner", got, append([]int{500}, tt.want...)...)
		})
	}
}

// TestAppendWholeRow has a row with spares, an empty one, and one that never was.
func TestAppendWholeRow(t *testing.T) {
	table := NewTable(hexID("50"), 4)
	for _, id := range []string{"91", "92", "93", "94", "a1", "5aa", "5ab"} {
		table.Insert(contactAt(hexID(id)), func(*Contact) Time { return 1 })
	}
	want := []string{"9100", "9200", "9300", "a100"}
	for row, want := range [][]string{want, {"5aa0", "5ab0"}, {}} {
		if got := hexes(table.appendWholeRow(nil, row)); !slices.Equal(got, want) {
			t.Errorf("row %d is %v, want %v", row, got, want)
		}
	}
	if got := table.appendWholeRow(nil, -1); got != nil {
		t.Errorf("row -1 is %v, want nothing", hexes(got))
	}
	for id, want := range map[string]bool{"9f": true, "a2": false, "b": false, "5a": false, "777": false, "5fff": false} {
		if got := table.full(hexID(id)); got != want {
			t.Errorf("the entry of %s has no room: %t, want %t", id, got, want)
		}
	}
}
