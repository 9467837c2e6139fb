package pastry

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestCompareSight has an immediate neighbour of the node at 500 show digests of its
// leaf set, most of which are not this node's own, and name nobody new when it is asked.
func TestCompareSight(t *testing.T) {
	const own, first, second = 1, 2, 3 // digests, but for own
	type step struct {
		what   string
		wait   time.Duration
		digest uint64
		mine   bool // the own leaf set changes before
		asks   bool
	}
	steps := func(pause time.Duration) []step {
		return []step{
			{"none", 0, 0, false, false},
			{"the same", 0, own, false, false},
			{"another", time.Second, first, false, true},
			{"still that", pause - time.Second, first, false, false},
			{"still that after a pause", time.Second, first, false, true},
			{"yet another", time.Second, second, false, true},
			{"still that, and the own set has changed", time.Second, second, true, true},
			{"still that, soon", time.Second, second, false, false},
			{"the same", time.Minute, own, false, false},
		}
	}
	sees := map[int][]int{400: {700, 300, 500, 600}, 600: {400, 500, 700, 300}}
	for _, tt := range []struct {
		name  string
		from  int
		kind  Kind
		pause time.Duration
	}{
		{"heartbeat of the right neighbour", 600, KindHeartbeat, differPause},
		{"heartbeat of the left neighbour", 400, KindHeartbeat, differPause},
		{"probe by the right neighbour", 600, KindProbe, differPause / 2},
		{"probe by the left neighbour", 400, KindProbe, differPause / 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := seated(t, 500, 300, 400, 600, 700)
			larger := tt.from > 500
			for _, step := range steps(tt.pause) {
				digest := step.digest
				if s.wait(step.wait); digest == own {
					digest = s.n.leaves.overlap(larger)
				}
				if step.mine {
					s.n.leaves.version++
				}
				s.hear(contactAt(seat(tt.from)), &Packet{Kind: tt.kind, Seq: 4, Digest: digest})
				asked := s.gets(tt.from, KindProbe)
				if got := len(asked) > 0; got != step.asks {
					t.Errorf("%s: asks for the leaf set: %t, want %t", step.what, got, step.asks)
				}
				for _, p := range asked {
					want := &Packet{Kind: KindProbe, State: StateActive, Seq: p.Seq, Want: WantLeaves, Digest: s.n.leaves.overlap(larger)}
					if diff := cmp.Diff(p, want); diff != "" {
						t.Errorf("%s: question (-got +want):\n%s", step.what, diff)
					}
					s.hear(contactAt(seat(tt.from)), &Packet{Kind: KindProbeReply, Seq: p.Seq, Want: p.Want, Version: 9,
						Contacts: contactsAt(seats(sees[tt.from]...)...)})
				}
			}
		})
	}
}

// TestBypassed has a node show its leaf set that takes the one at 500 for its immediate
// neighbour, and is none: the leaves between the two may be dead, and are probed unless
// they were heard lately.
func TestBypassed(t *testing.T) {
	for _, tt := range []struct {
		name   string
		from   int
		state  State
		digest uint64
		heard  []int
		want   []int
	}{
		{"immediate neighbour", 600, StateActive, 7, nil, nil},
		{"one between", 700, StateActive, 7, nil, []int{600}},
		{"two between", 800, StateActive, 7, nil, []int{600, 700}},
		{"two between, one of them heard lately", 800, StateActive, 7, []int{600}, []int{700}},
		{"one between, on the other side", 300, StateActive, 7, nil, []int{400}},
		{"shows nothing", 800, StateActive, 0, nil, nil},
		{"joiner", 850, StateJoining, 7, nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := seated(t, 500, 200, 300, 400, 600, 700, 800)
			s.n.timers.a = nil
			s.wait(time.Minute)
			for _, at := range tt.heard {
				s.n.peers.get(seat(at)).heard = s.now - Time(heardLately)
			}
			s.hear(contactAt(seat(tt.from)), &Packet{Kind: KindHeartbeat, State: tt.state, Digest: tt.digest})
			var got []int
			for _, at := range []int{200, 300, 400, 600, 700, 800} {
				if at != tt.from && len(s.gets(at, KindProbe)) > 0 {
					got = append(got, at)
				}
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("probed are %v, want %v", got, tt.want)
			}
		})
	}
}

// TestOnlyMembersCompare has a node that leaves be shown a leaf set that is not its own.
func TestOnlyMembersCompare(t *testing.T) {
	s := seated(t, 500, 300, 400, 600, 700)
	s.n.state = StateLeaving
	s.n.compareSight(s.n.peers.get(seat(600)), 7, 0)
	s.out = s.n.take()
	s.none(KindProbe)
}

// TestProbesShowSight has the node at 500 ask others for tables: only from an immediate
// neighbour, for its leaf set, can it learn of a difference.
func TestProbesShowSight(t *testing.T) {
	for _, tt := range []struct {
		name string
		to   int
		want Want
		up   bool
		show bool
	}{
		{"right neighbour", 600, WantLeaves, true, true},
		{"left neighbour", 400, WantLeaves, false, true},
		{"right neighbour, and its holders", 600, WantLeaves | WantHolders, true, true},
		{"right neighbour for its holders", 600, WantHolders, true, false},
		{"left neighbour for its row", 400, WantRow, false, false},
		{"a farther one", 700, WantLeaves, true, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := seated(t, 500, 300, 400, 600, 700)
			s.n.ask(s.n.peers.get(seat(tt.to)), whyExchange, tt.want, 0)
			s.out = s.n.take()
			got, want := s.gets(tt.to, KindProbe)[0].Digest, uint64(0)
			if tt.show {
				want = s.n.leaves.overlap(tt.up)
			}
			if got != want {
				t.Errorf("the probe has the digest %x, want %x", got, want)
			}
		})
	}
}

// town is a ring of which some members are real, and all others answer probes as the
// truth is, unless they are dead. Packets take 5 ms.
type town struct {
	t     *testing.T
	all   []int // the living
	real  map[int]*script
	asked int // for leaf sets, by the real ones
}

// leavesOf returns the true leaf set of a member, four nodes.
func (w *town) leavesOf(at int) (cs []*Contact) {
	i := slices.Index(w.all, at)
	for _, k := range []int{-2, -1, 1, 2} {
		cs = append(cs, contactAt(seat(w.all[(i+k+len(w.all))%len(w.all)])))
	}
	return cs
}

func (w *town) run(d time.Duration) {
	w.t.Helper()
	for range d / (5 * time.Millisecond) {
		var out []Action
		var by []int
		for _, at := range w.all {
			if s := w.real[at]; s != nil {
				s.wait(5 * time.Millisecond)
				for _, a := range s.out {
					out, by = append(out, a), append(by, at)
				}
			}
		}
		for i := 0; i < len(out); i++ {
			if out[i].Kind == ActSend {
				more, to := w.carry(by[i], out[i])
				out = append(out, more...)
				by = append(by, slices.Repeat([]int{to}, len(more))...)
			}
		}
	}
}

// carry brings a packet to where it goes, and returns what that does about it.
func (w *town) carry(from int, a Action) ([]Action, int) {
	p, to := *a.Packet, points([]*Contact{a.To})[0]
	if p.Kind == KindProbe && p.Want&WantLeaves != 0 {
		w.asked++
	}
	if s := w.real[to]; s != nil {
		return s.hear(contactAt(seat(from)), &p), to
	}
	if p.Kind != KindProbe || !slices.Contains(w.all, to) {
		return nil, to
	}
	r := &Packet{Kind: KindProbeReply, Seq: p.Seq, Want: p.Want, Row: p.Row}
	if p.Want&WantLeaves != 0 {
		r.Version, r.Contacts = 1, w.leavesOf(to)
	}
	return w.real[from].hear(a.To, r), from
}

// TestNeighborsHeal has two immediate neighbours, at 500 and 600, of which one or both
// do not see who is there, or see a dead one. A few heartbeats later both see the truth.
func TestNeighborsHeal(t *testing.T) {
	all := []int{100, 200, 300, 400, 500, 600, 700, 800, 900}
	for _, tt := range []struct {
		name        string
		left, right []int // whom the one at 500, the one at 600, sees
		asked       int   // for leaf sets, at the most; zero is not at all
	}{
		{"both see the truth", []int{300, 400, 600, 700}, []int{400, 500, 700, 800}, 0},
		{"only the ends differ", []int{400, 600, 700}, []int{400, 500, 700}, 0},
		{"the left lacks one", []int{300, 400, 600}, []int{400, 500, 700, 800}, 5},
		{"the left sees one beyond", []int{200, 300, 600, 700}, []int{400, 500, 700, 800}, 5},
		{"the right lacks one", []int{300, 400, 600, 700}, []int{500, 700, 800}, 5},
		{"the right sees one beyond", []int{300, 400, 600, 700}, []int{400, 500, 800, 900}, 5},
		{"each lacks one", []int{300, 400, 600, 800}, []int{300, 500, 700, 800}, 6},
		{"the left sees a dead one", []int{400, 450, 600, 700}, []int{400, 500, 700, 800}, 12},
		{"the right sees a dead one", []int{300, 400, 600, 700}, []int{400, 500, 650, 700}, 12},
		{"each sees a dead one", []int{400, 450, 600, 700}, []int{400, 500, 650, 700}, 20},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := &town{t: t, all: all, real: map[int]*script{500: seated(t, 500, tt.left...), 600: seated(t, 600, tt.right...)}}
			for at, s := range w.real {
				s.n.arm(timerHeartbeat, time.Duration(at)*time.Millisecond)
			}
			w.run(30 * time.Second)
			for at, s := range w.real {
				if tt.asked > 0 {
					wantPoints(t, "the leaf set", s.n.leaves.AppendMembers(nil), points(w.leavesOf(at))...)
				}
			}
			if w.asked > tt.asked {
				t.Errorf("leaf sets are asked for %d times, want at most %d", w.asked, tt.asked)
			}
			if healed := w.asked; healed > 0 {
				if w.run(time.Minute); w.asked > healed {
					t.Errorf("then they are asked for %d times more", w.asked-healed)
				}
			}
		})
	}
}

// TestLeavesShown has the leaf set of the node at 500 change: its left neighbour is
// shown it within a second, its right one only if that is new, or much changes.
func TestLeavesShown(t *testing.T) {
	s := seated(t, 500, 300, 400, 600, 700)
	s.n.shown.to, s.n.shown.at = seat(600), s.now-Time(time.Hour)
	for _, step := range []struct {
		what        string
		wait        time.Duration // before
		enters      int
		left, right int // who is shown it, zero for nobody
	}{
		{"a farther one", 0, 330, 400, 0},
		{"another, long after", unrest, 640, 400, 0},
		{"another, soon after", unrest / 2, 630, 400, 600},
		{"a left neighbour", unrest, 450, 450, 0},
		{"a right neighbour", unrest, 550, 450, 550},
	} {
		s.wait(step.wait)
		know(s.n, contactAt(seat(step.enters)), 10*time.Millisecond)
		s.n.due[timerMonitor] = 0
		s.n.take()
		s.wait(settleTime)
		to, ps := s.sent(KindHeartbeat)
		want := []int{step.left}
		if step.right != 0 {
			want = append(want, step.right)
		}
		if diff := cmp.Diff(points(to), want); diff != "" {
			t.Errorf("%s: who is shown the leaf set (-got +want):\n%s", step.what, diff)
			continue
		}
		for i, p := range ps {
			if want := s.n.leaves.overlap(i == 1); p.Digest != want {
				t.Errorf("%s: the digest shown to %d is %x, want %x", step.what, points(to)[i], p.Digest, want)
			}
		}
	}
}
