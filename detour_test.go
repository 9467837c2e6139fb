package pastry

import (
	"testing"
	"time"

	"github.com/secondbit/pastry/ring"
)

// reached is a member with the round trip to it; zero is one never measured.
type reached struct {
	id string
	at time.Duration
}

// reaching returns an active node at 50 with the leaves given and other members.
func reaching(t *testing.T, b int, leaves [4]string, others ...reached) *RawNode {
	t.Helper()
	var ids []ring.ID
	for _, l := range leaves {
		ids = append(ids, hexID(l))
	}
	n := knowing(t, hexID("50"), b, 4, ids...)
	for _, o := range others {
		at := o.at
		if at == 0 {
			at = time.Hour // behind the others in the table
		}
		if p := know(n, contactAt(hexID(o.id)), at); o.at == 0 {
			p.rtt = rtt{}
		}
	}
	return n
}

func wantNextHop(t *testing.T, n *RawNode, key string, want string, skip ...ring.ID) {
	t.Helper()
	got := "none"
	if c, ok := n.NextHop(hexID(key), skipping(skip...)); ok {
		got = c.ID.String()
	}
	if want := hexID(want).String(); got != want {
		t.Errorf("next hop to %s is %s, want %s", key, got, want)
	}
}

// TestDetour has a peer that shares more digits with the key than the entry of
// the table, and is farther away: by 2^(b/2) for every digit more it is worth it,
// and so it always is within 2 ms.
func TestDetour(t *testing.T) {
	narrow := [4]string{"4ffe", "4fff", "5001", "5002"} // nobody lies beside the key
	const ms = time.Millisecond
	for _, tt := range []struct {
		name        string
		b           int
		entry, peer reached
		want        string
	}{
		{"no farther", 4, reached{"90", 3 * ms}, reached{"95", 3 * ms}, "95"},
		{"one digit, at the limit", 4, reached{"90", 3 * ms}, reached{"95", 12 * ms}, "95"},
		{"one digit, beyond", 4, reached{"90", 3 * ms}, reached{"95", 12*ms + 1}, "90"},
		{"two digits, at the limit", 4, reached{"90", 3 * ms}, reached{"95f0", 48 * ms}, "95f0"},
		{"two digits, beyond", 4, reached{"90", 3 * ms}, reached{"95f0", 48*ms + 1}, "90"},
		{"short digits, at the limit", 2, reached{"80", 3 * ms}, reached{"90", 6 * ms}, "90"},
		{"short digits, beyond", 2, reached{"80", 3 * ms}, reached{"90", 6*ms + 1}, "80"},
		{"near enough", 4, reached{"90", ms / 10}, reached{"95", 2 * ms}, "95"},
		{"not near enough", 4, reached{"90", ms / 10}, reached{"95", 2*ms + 1}, "90"},
		{"never measured", 4, reached{"90", 3 * ms}, reached{"95", 0}, "95"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			wantNextHop(t, reaching(t, tt.b, narrow, tt.entry, tt.peer), "95f8", tt.want)
		})
	}
}

// TestShortcut has a peer beside the key that shares no more digits with it than
// the entry of the table, 9c, which is 4 ms away: it is as good as half a digit.
func TestShortcut(t *testing.T) {
	const ms = time.Millisecond
	up, down := [4]string{"4e", "4f", "51", "58"}, [4]string{"48", "4f", "51", "52"} // the longer side
	for _, tt := range []struct {
		name   string
		b      int
		leaves [4]string
		key    string
		peer   reached
		want   string
	}{
		{"at the limit", 4, up, "9400", reached{"93ff", 8 * ms}, "93ff"},
		{"beyond the limit", 4, up, "9400", reached{"93ff", 8*ms + 1}, "9c"},
		{"short digits, at the limit", 2, up, "9400", reached{"93ff", 56 * ms / 10}, "93ff"},
		{"short digits, beyond", 2, up, "9400", reached{"93ff", 57 * ms / 10}, "9c"},
		{"within the reach below", 4, up, "9400", reached{"9201", 4 * ms}, "9201"},
		{"at the end of the reach below", 4, up, "9400", reached{"9200", 4 * ms}, "9c"},
		{"within the reach above", 4, down, "9400", reached{"9201", 4 * ms}, "9201"},
		{"at the end of the reach above", 4, down, "9400", reached{"9200", 4 * ms}, "9c"},
		{"no more digits than the node itself", 4, up, "9000", reached{"8fff", 4 * ms}, "9c"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := reaching(t, tt.b, tt.leaves, reached{"9c", 4 * ms}, tt.peer)
			wantNextHop(t, n, tt.key, tt.want)
			wantNextHop(t, n, tt.key, "9c", hexID(tt.peer.id))
		})
	}
}

// TestNextHopBeyondGrantedJoiner has a joiner that was granted its place be the
// last leaf. It is no usable peer yet, but closer to the keys behind it than the
// node, which must not deliver them.
func TestNextHopBeyondGrantedJoiner(t *testing.T) {
	s := newScript(t, 500, func(c *Config) { c.LeafSetSize = 2 })
	s.step(Input{Kind: InJoin})
	for _, m := range []int{400, 600} {
		know(s.n, contactAt(point(m)), 10*time.Millisecond)
	}
	if got := s.asks(550, true).Code; got != CodeOK {
		t.Fatalf("the joiner gets %v, want its place", got)
	}
	for _, tt := range []struct{ key, want int }{{540, 550}, {555, 550}, {560, 550}} {
		if covered := s.n.leaves.Covers(point(tt.key)); covered != (tt.key < 550) {
			t.Fatalf("key %d is within the leaf set: %t", tt.key, covered)
		}
		c, ok := s.n.NextHop(point(tt.key), nil)
		if !ok || c.ID != point(tt.want) {
			t.Errorf("next hop to %d is %v, %t, want %d", tt.key, c.ID, ok, tt.want)
		}
	}
}

// TestNextHopToNewcomer has a node at 550 become known that belongs to the leaf set
// and has not answered yet. It is root of the keys closest to it if it has said that
// it is active since it is being probed.
func TestNextHopToNewcomer(t *testing.T) {
	newcomer, client := contactAt(point(550)), contactAt(point(550))
	client.Client = true
	named := func(s *script) { s.replies(contactAt(point(600)), s.exchange(600), newcomer) }
	says := func(st State) func(*script) {
		return func(s *script) { s.hear(newcomer, &Packet{Kind: KindHeartbeat, State: st}) }
	}
	later := func(s *script) { s.wait(time.Millisecond) }
	for _, tt := range []struct {
		name  string
		steps []func(*script)
		asked bool // it is still being probed
		hop   bool
	}{
		{"shows itself", []func(*script){says(StateActive)}, true, true},
		{"named, then shows itself", []func(*script){named, later, says(StateActive)}, true, true},
		{"only named", []func(*script){named, later}, true, false},
		{"heard before it was named", []func(*script){
			func(s *script) { s.hear(newcomer, &Packet{Kind: KindAck, Seq: 99}) }, later, named}, true, false},
		{"still joining", []func(*script){named, later, says(StateJoining)}, true, false},
		{"leaving", []func(*script){named, later, says(StateActive), later, says(StateLeaving)}, true, false},
		{"a client", []func(*script){named, later, func(s *script) { s.hear(client, &Packet{Kind: KindHeartbeat}) }}, true, false},
		{"dead in the end", []func(*script){says(StateActive), func(s *script) { s.goneAfter(550, 10*time.Second) }}, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := forwarder(t)
			for _, step := range tt.steps {
				step(s)
			}
			if asked := len(s.n.leafProbes) == 1; asked != tt.asked || s.n.holds(point(550)) {
				t.Fatalf("it is probed for the leaf set: %t, want %t; in a table: %t", asked, tt.asked, s.n.holds(point(550)))
			}
			skip := skipping(point(550))
			for _, k := range []struct {
				key           int
				without, with int // zero: the node itself
			}{{510, 0, 0}, {540, 0, 550}, {560, 600, 550}, {590, 600, 600}, {450, 400, 400}} {
				want := k.without
				if tt.hop {
					want = k.with
				}
				if got := s.nextHop(k.key, nil); got != want {
					t.Errorf("next hop to %d is %d, want %d", k.key, got, want)
				}
				if got := s.nextHop(k.key, skip); got != k.without {
					t.Errorf("next hop to %d past the newcomer is %d, want %d", k.key, got, k.without)
				}
			}
		})
	}
}

// nextHop returns where the next hop to a key sits, zero when that is the node itself.
func (s *script) nextHop(key int, skip func(ring.ID) bool) int {
	c, ok := s.n.NextHop(point(key), skip)
	if !ok {
		return 0
	}
	return points([]*Contact{&c})[0]
}

// TestDeliveryAtNewcomer has a message for a key of a newcomer's come before that one
// has answered: it may have been delivered there, and must not be delivered here.
func TestDeliveryAtNewcomer(t *testing.T) {
	s := forwarder(t)
	s.hear(contactAt(point(550)), &Packet{Kind: KindHeartbeat})
	s.routed(540)
	wantHops(t, "for the newcomer's keys", s.hops(), 550)
	if got := s.did(ActDeliver); len(got) > 0 {
		t.Errorf("the node took the newcomer's key for its own: %v", got)
	}
}
