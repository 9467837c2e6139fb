package pastry

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/secondbit/pastry/ring"
)

// TestProbeEndPutOff has the node at 600 be silent to a probe that a message waits
// for: tries at 0, 125 and 250 ms, the end at 500 ms. A message that left after
// the last try is one more try, and puts the end off until its own time is over,
// once.
func TestProbeEndPutOff(t *testing.T) {
	const ms = time.Millisecond
	for _, tt := range []struct {
		name string
		sent []time.Duration // when messages for 600 come, after the first try
		ack  time.Duration   // when 600 says something, zero for never
		want time.Duration   // when it is dead, zero for never
	}{
		{"no message", nil, 0, 500 * ms},
		{"one before the last try", []time.Duration{240 * ms}, 0, 500 * ms},
		{"one after the last try", []time.Duration{260 * ms}, 0, 560 * ms},
		{"two after the last try: the later", []time.Duration{260 * ms, 280 * ms}, 0, 580 * ms},
		{"another while it is put off", []time.Duration{260 * ms, 540 * ms}, 0, 560 * ms},
		{"one from before, sent again after the last try", []time.Duration{-30 * ms}, 0, 500 * ms},
		{"acknowledged while it is put off", []time.Duration{260 * ms}, 540 * ms, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := forwarder(t)
			s.n.cfg.MinHopTimeout = 300 * ms
			start, got := s.now+Time(50*ms), time.Duration(0)
			for got == 0 && s.now < start+Time(2*time.Second) {
				at := time.Duration(s.now - start)
				if s.n.now = s.now; at == 0 {
					s.n.hurry(s.n.peers.get(point(600)))
				}
				if i := slices.Index(tt.sent, at); i >= 0 {
					s.routed2(610, i)
				}
				if tt.ack != 0 && at >= tt.ack {
					s.hear(contactAt(point(600)), &Packet{Kind: KindHeartbeat})
				}
				s.wait(5 * ms)
				s.answerProbes(600)
				if len(s.did(ActGone)) > 0 {
					got = time.Duration(s.now - start)
				}
			}
			if got != tt.want {
				t.Errorf("the silent node is dead after %v, want %v", got, tt.want)
			}
		})
	}
}

// TestTriesAfterSilentHop has a hop not acknowledge a message. That counts as one
// of the tries, but not of a joiner, which acknowledges only when it is active.
func TestTriesAfterSilentHop(t *testing.T) {
	for _, tt := range []struct {
		name   string
		at     int
		joiner bool
		want   int
	}{
		{"member", 600, false, 2},
		{"granted joiner", 550, true, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := forwarder(t)
			if tt.joiner {
				s.asks(tt.at, true)
				s.n.due[timerLeaves], s.n.due[timerMonitor] = 0, 0 // nothing else has it probed
			}
			s.routed(tt.at)
			wantHops(t, "for the hop's keys", s.hops(), tt.at)
			got, gone := s.goneAfter(tt.at, 9*time.Second)
			if !gone || got != tt.want {
				t.Errorf("gone: %t, after %d probes; want it gone after %d", gone, got, tt.want)
			}
		})
	}
}

// TestWhoTellsOfADeath has a leaf die. Whoever finds it out tells those that have it
// in their leaf sets; who was told does not, unless the dead one was an immediate
// neighbour, and then only those on the node's own side of it.
func TestWhoTellsOfADeath(t *testing.T) {
	small, large := []int{300, 400, 600, 700, 900, 910}, []int{100, 200, 300, 400, 600, 700, 800, 900}
	whole := []int{100, 200, 300, 600, 700, 800} // both sides have 100 and 800
	for _, tt := range []struct {
		name    string
		leaves  int
		members []int
		dead    int
		told    bool
		want    []int
	}{
		{"found, at the end of the leaf set", 4, small, 700, false, []int{600}},
		{"found, at the other end", 4, small, 300, false, []int{400}},
		{"told, at the end of the leaf set", 4, small, 700, true, nil},
		{"found, right neighbour", 4, small, 600, false, []int{400, 700}},
		{"found, left neighbour", 4, small, 400, false, []int{300, 600}},
		{"told, right neighbour", 4, small, 600, true, []int{400}},
		{"told, left neighbour", 4, small, 400, true, []int{600}},
		{"found, right neighbour of many", 8, large, 600, false, []int{200, 300, 400, 700, 800, 900}},
		{"found, second of many", 8, large, 700, false, []int{300, 400, 600, 800, 900}},
		{"found, third of many, on the left", 8, large, 200, false, []int{100, 300, 400, 600}},
		{"told, right neighbour of many", 8, large, 600, true, []int{200, 300, 400}},
		{"told, left neighbour of many", 8, large, 400, true, []int{600, 700, 800}},
		{"told, second of many", 8, large, 700, true, nil},
		{"found, whole ring in sight", 8, whole, 200, false, []int{100, 300, 600, 700, 800}},
		{"found, whole ring in sight, on both sides", 8, whole, 100, false, []int{200, 300, 600, 700, 800}},
		{"found, whole ring in sight, left neighbour", 8, whole, 300, false, []int{100, 200, 600, 700, 800}},
		{"told, whole ring in sight, left neighbour", 8, whole, 300, true, []int{100, 200, 600, 700, 800}},
		{"told, whole ring in sight", 8, whole, 200, true, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := activeScriptWith(t, func(c *Config) { c.LeafSetSize = tt.leaves }, tt.members...)
			s.now += Time(s.n.cfg.MinProbeTimeout)
			if tt.told {
				s.hear(contactAt(point(950)), &Packet{Kind: KindSuspect, Suspects: []ring.ID{point(tt.dead)}})
			} else {
				s.step(Input{Kind: InDisconnected, From: contactAt(point(tt.dead))})
			}
			if _, gone := s.goneAfter(tt.dead, 10*time.Second); !gone {
				t.Fatal("a silent leaf is not dead")
			}
			to, _ := s.sent(KindSuspect)
			got := slices.DeleteFunc(points(to), func(at int) bool { return at == tt.dead }) // it may object
			if slices.Sort(got); !slices.Equal(got, tt.want) {
				t.Errorf("%v are told, want %v", got, tt.want)
			}
		})
	}
}

// TestWordPassedOn has the node at 500 get word from 700 that the one at 900 is dead, for
// those that keep it. The node at 650 is gone.
func TestWordPassedOn(t *testing.T) {
	const limit = 32
	for _, tt := range []struct {
		name     string
		suspects []int
		holders  []int
		hops     int
		want     map[int][]int // whom the word is for, by next hop
		probed   []int
	}{
		{"on the way", []int{900}, []int{120, 300, 400, 650, 903, 910}, 1, map[int][]int{300: {120, 300}, 400: {400}, 910: {903, 910}}, nil},
		{"for this one", []int{900}, []int{500}, 1, nil, []int{900}},
		{"for this one as well", []int{900}, []int{400, 500}, 1, map[int][]int{400: {400}}, []int{900}},
		{"for nobody", []int{900}, nil, 1, nil, []int{900}},
		{"for one that is gone", []int{900}, []int{650}, 1, nil, nil},
		{"of one that is not known", []int{990}, []int{903, 500}, 1, map[int][]int{900: {903}}, nil},
		{"of this one, for itself", []int{500}, []int{500}, 1, nil, []int{700}},
		{"of nobody", nil, []int{300, 500}, 1, nil, nil},
		{"of two", []int{900, 910}, []int{300, 400}, 1, nil, nil},
		{"of two, for this one", []int{900, 910}, []int{300, 500}, 1, nil, []int{900, 910}},
		{"of one twice", []int{900, 900}, []int{300, 500}, 1, nil, []int{900}},
		{"last hop", []int{900}, []int{300, 500}, limit - 1, map[int][]int{300: {300}}, []int{900}},
		{"beyond the last hop", []int{900}, []int{300, 500}, limit, nil, []int{900}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := forwarder(t)
			s.now += Time(s.n.cfg.MinProbeTimeout)
			s.hear(contactAt(point(700)), &Packet{Kind: KindSuspect, Suspects: keeperIDs(tt.suspects...),
				Holders: keeperIDs(tt.holders...), Hops: tt.hops})
			dead := 0
			if len(tt.suspects) > 0 {
				dead = tt.suspects[0]
			}
			want := tt.want
			if want == nil {
				want = map[int][]int{}
			}
			if diff := cmp.Diff(s.words(dead, tt.hops+1), want); diff != "" {
				t.Errorf("holders told, by next hop (-got +want):\n%s", diff)
			}
			to, _ := s.sent(KindProbe)
			if got := points(to); !slices.Equal(got, tt.probed) {
				t.Errorf("%v are probed, want %v", got, tt.probed)
			}
			if n := s.n.holders; len(n.all)+len(s.n.ward.ids) > 0 {
				t.Error("the word is taken for news of holders")
			}
		})
	}
}

// TestWordNeedsMember has a node that leaves, or is a client, get word to pass on.
func TestWordNeedsMember(t *testing.T) {
	for _, state := range []State{StateIdle, StateJoining, StateLeaving, StateClient} {
		s := forwarder(t)
		s.n.state = state
		s.n.tellHolders(point(900), keeperIDs(300, 400, 910), 1)
		s.out = s.n.take()
		s.none(KindSuspect)
	}
}

// TestTriesOfHolders has a node hear from 300 that another is dead: to whoever keeps it
// and was told because of that, the left neighbour's finding is worth two tries, unless
// it is a leaf.
func TestTriesOfHolders(t *testing.T) {
	for _, tt := range []struct {
		name    string
		dead    int
		holders []int
		usual   int
		lossy   float64
		want    int
	}{
		{"as a holder", 900, []int{500}, 3, 0, 1},
		{"as one of many", 900, []int{400, 500, 910}, 3, 0, 1},
		{"not as a holder", 900, nil, 3, 0, 2},
		{"a leaf", 600, []int{500}, 3, 0, 2},
		{"5 % lost", 900, []int{500}, 3, 0.05, 2},
		{"5 % lost, a leaf", 600, []int{500}, 3, 0.05, 3},
		{"30 % lost", 900, []int{500}, 3, 0.3, 4},
		{"two tries", 900, []int{500}, 2, 0, 1},
		{"one try", 900, []int{500}, 1, 0, 1},
		{"many tries", 900, []int{500}, 7, 0, 5},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := activeScriptWith(t, func(c *Config) { c.ProbeTries = tt.usual }, 300, 400, 600, 700, 900, 910)
			s.n.lossy = tt.lossy
			s.now += Time(s.n.cfg.MinProbeTimeout)
			s.hear(contactAt(point(300)), &Packet{Kind: KindSuspect, Suspects: keeperIDs(tt.dead), Holders: keeperIDs(tt.holders...), Hops: 2})
			got, gone := s.goneAfter(tt.dead, 20*time.Second)
			if !gone || got != tt.want {
				t.Errorf("gone: %t, after %d probes; want it gone after %d", gone, got, tt.want)
			}
		})
	}
}

// TestMissing has the node at 500, with eight leaves, ask an immediate neighbour for its
// leaf set, which is 4 to either side. The leaves that the answer passes over are probed.
func TestMissing(t *testing.T) {
	leaves := []int{340, 380, 420, 460, 540, 580, 620, 660}
	for _, tt := range []struct {
		name  string
		from  int
		named []int
		want  []int
	}{
		{"the truth, right neighbour", 540, []int{380, 420, 460, 500, 580, 620, 660, 700}, nil},
		{"the truth, left neighbour", 460, []int{300, 340, 380, 420, 500, 540, 580, 620}, nil},
		{"nobody", 540, nil, nil},
		{"one passed over, nearer side", 540, []int{380, 420, 500, 580, 620, 660, 700}, []int{460}},
		{"one passed over, farther side", 540, []int{380, 420, 460, 500, 580, 660, 700}, []int{620}},
		{"one passed over, by the left neighbour", 460, []int{300, 340, 420, 500, 540, 580, 620}, []int{380}},
		{"one on either side", 540, []int{380, 460, 500, 580, 660, 700}, []int{420, 620}},
		{"two in a row", 540, []int{380, 500, 580, 620, 660, 700}, []int{420, 460}},
		{"one taken for another", 540, []int{380, 420, 470, 500, 580, 620, 660, 700}, []int{460}},
		{"smaller side short by one", 540, []int{420, 460, 500, 580, 620, 660, 700}, nil},
		{"larger side short by one", 540, []int{380, 420, 460, 500, 580, 620}, nil},
		{"both sides short, and one passed over", 540, []int{420, 500, 580, 620}, []int{460}},
		{"left neighbour short by one", 460, []int{340, 380, 420, 500, 540, 580}, nil},
		{"a side lost", 540, []int{380, 420, 460, 500}, nil},
		{"only this node", 540, []int{500}, nil},
		{"farthest leaf", 660, []int{500, 540, 580, 700, 740, 780, 820}, []int{620}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := activeScriptWith(t, func(c *Config) { c.LeafSetSize = 8 }, leaves...)
			s.now += Time(heardLately) + 1
			s.replies(contactAt(point(tt.from)), s.exchange(tt.from), contactsAt(keeperIDs(tt.named...)...)...)
			to, _ := s.sent(KindProbe)
			got := slices.DeleteFunc(points(to), func(at int) bool { return !slices.Contains(leaves, at) })
			if slices.Sort(got); !slices.Equal(got, tt.want) {
				t.Errorf("%v are probed, want %v", got, tt.want)
			}
		})
	}
}

// TestMissingFromWholeRing has the whole ring be in sight: whoever is not named is passed
// over, wherever it is. One that was heard just now lives.
func TestMissingFromWholeRing(t *testing.T) {
	all := []int{100, 300, 400, 600, 700}
	for _, tt := range []struct {
		name         string
		named, heard []int
		want         []int
	}{
		{"all", []int{100, 300, 400, 500, 700}, nil, nil},
		{"one not", []int{100, 300, 400, 500}, nil, []int{700}},
		{"the farthest not", []int{300, 400, 500, 700}, nil, []int{100}},
		{"two not", []int{100, 400, 500}, nil, []int{300, 700}},
		{"two not, one heard just now", []int{100, 400, 500}, []int{700}, []int{300}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := activeScriptWith(t, func(c *Config) { c.LeafSetSize = 10 }, all...)
			s.now += Time(heardLately) + 1
			for _, at := range tt.heard {
				s.hear(contactAt(point(at)), &Packet{Kind: KindAck, Seq: 1})
			}
			s.replies(contactAt(point(600)), s.exchange(600), contactsAt(keeperIDs(tt.named...)...)...)
			to, _ := s.sent(KindProbe)
			got := points(to)
			if slices.Sort(got); !slices.Equal(got, tt.want) {
				t.Errorf("%v are probed, want %v", got, tt.want)
			}
		})
	}
}

func TestNearWay(t *testing.T) {
	for _, tt := range []struct {
		name     string
		from, to int
		larger   bool
		way      int
	}{
		{"up", 500, 600, true, 100},
		{"down", 500, 400, false, 100},
		{"up over zero", 950, 50, true, 100},
		{"down over zero", 50, 950, false, 100},
		{"itself", 500, 500, true, 0},
		{"more than half way up", 100, 700, false, 400},
	} {
		larger, way := nearWay(point(tt.from), point(tt.to))
		if larger != tt.larger || points(contactsAt(way))[0] != tt.way {
			t.Errorf("%s: larger side %t, %v far; want %t, %d", tt.name, larger, way, tt.larger, tt.way)
		}
	}
}

// TestAlarm has one leaf die after another. When the second dies soon after the first,
// the others that were not heard lately are probed at once, for they may have died too.
func TestAlarm(t *testing.T) {
	for _, tt := range []struct {
		name    string
		between time.Duration // the two deaths
		heard   []int         // just before the second
		want    []int
	}{
		{"one death", -1, nil, nil},
		{"at once", 0, nil, []int{200, 300, 400, 800}},
		{"shortly after", alarmTime - time.Millisecond, nil, []int{200, 300, 400, 800}},
		{"long after", alarmTime + time.Millisecond, nil, nil},
		{"some were heard", time.Second, []int{300, 800}, []int{200, 400}},
		{"all were heard", time.Second, []int{200, 300, 400, 800}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := activeScriptWith(t, func(c *Config) { c.LeafSetSize = 6 }, 200, 300, 400, 600, 700, 800)
			s.now += Time(time.Minute)
			s.n.now = s.now
			s.n.stopWaiting()
			s.n.bury(s.n.peers.get(point(600)), false)
			if tt.between >= 0 {
				s.n.stopWaiting()
				s.n.now += Time(tt.between)
				for _, at := range tt.heard {
					s.n.peers.get(point(at)).heard = s.n.now
				}
				s.n.bury(s.n.peers.get(point(700)), false)
			}
			var got []int
			for _, c := range s.n.leaves.shared() {
				if p := s.n.peers.get(c.ID).probe; p != nil && p.hurry {
					got = append(got, points([]*Contact{c})...)
				}
			}
			if slices.Sort(got); !slices.Equal(got, tt.want) {
				t.Errorf("probed in a hurry are %v, want %v", got, tt.want)
			}
		})
	}
}
