package pastry

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/secondbit/pastry/ring"
)

// TestTableProbes has everybody be silent: a primary is probed after one period,
// and so is a spare of a sparse row; a contact that no message is routed to, here a
// node that is merely near, after eight.
func TestTableProbes(t *testing.T) {
	s := forwarder(t) // 910 is a spare of 900
	near := know(s.n, contactAt(point(905)), time.Millisecond)
	s.n.table.Remove(near.c.ID)
	s.n.stopWaiting()
	s.n.tuning.period, s.n.tuning.tuned = time.Minute, 1<<60 // never tuned again
	s.n.arm(timerTable, 0)
	start, got := s.now, make(map[int]int) // periods until the first probe
	for s.now < start+Time(12*time.Minute) {
		s.wait(time.Second)
		to, _ := s.sent(KindProbe)
		for _, at := range points(to) {
			if _, before := got[at]; !before {
				got[at] = int((s.now - start) / Time(time.Minute))
			}
		}
		s.answerProbes()
	}
	want := map[int]int{300: 1, 400: 1, 600: 1, 700: 1, 900: 1, 910: 1, 905: 8}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("periods until the first probe (-got +want):\n%s", diff)
	}
}

// rowQuestion is what exchangeRows asks, when, and whom.
type rowQuestion struct {
	want Want
	row  int
	at   Time
	to   *Contact
}

// rowQuestions returns the next questions, which are answered with nothing new.
func (s *script) rowQuestions(count int) (qs []rowQuestion) {
	s.t.Helper()
	for len(qs) < count {
		at, ok := s.n.Deadline()
		if !ok {
			s.t.Fatalf("after %d questions nothing is waited for", len(qs))
		}
		s.wait(time.Duration(at - s.now))
		to, ps := s.sent(KindProbe)
		for i, p := range ps {
			qs = append(qs, rowQuestion{p.Want, p.Row, s.now, to[i]})
			s.n.endProbe(s.n.peers.get(to[i].ID), true)
		}
	}
	return qs
}

// exchanger is a node with two rows of more than four, the last the nearest, that
// has just joined and does nothing but exchange rows.
func exchanger(t *testing.T) *script {
	s := newScript(t, 500, func(c *Config) { c.NeighborhoodSize = 8 })
	s.step(Input{Kind: InJoin})
	for i, at := range []int{100, 200, 300, 400, 600, 700, 800, 900, 510, 520, 530, 540, 550, 560} {
		know(s.n, contactAt(point(at)), time.Duration(20-i)*time.Millisecond)
	}
	if s.n.table.Rows() != 2 {
		t.Fatalf("the table has %d rows, want 2", s.n.table.Rows())
	}
	s.n.take()
	s.n.stopWaiting()
	s.n.arm(timerRows, s.n.rows.wait)
	return s
}

// TestRowExchangePace has every row asked for once in quick succession, then ever
// more seldom, until a round of all takes RowExchange.
func TestRowExchangePace(t *testing.T) {
	s := exchanger(t)
	// Two rows and as many neighborhood sets share 30 min.
	const most = 450 * time.Second
	want := []time.Duration{1: time.Second, time.Second, time.Second, time.Second, // the quick pass
		2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second, 32 * time.Second, 64 * time.Second,
		128 * time.Second, 256 * time.Second, most, most, most}
	qs := s.rowQuestions(len(want))
	for i := 1; i < len(want); i++ {
		got := time.Duration(qs[i].at - qs[i-1].at)
		if got < want[i]*3/4 || got > want[i]*5/4 {
			t.Errorf("question %d comes after %v, want %v, a quarter more or less", i, got, want[i])
		}
	}
}

// TestRowExchangeTurns has the neighborhood set and the rows asked for in turns,
// of one of the four nearest among those who know.
func TestRowExchangeTurns(t *testing.T) {
	s := exchanger(t)
	nearest := map[rowQuestion][]int{
		{want: WantHood}:        {530, 540, 550, 560},
		{want: WantRow, row: 0}: {600, 700, 800, 900},
		{want: WantRow, row: 1}: {530, 540, 550, 560},
	}
	order := []rowQuestion{{want: WantHood}, {want: WantRow, row: 1}, {want: WantHood}, {want: WantRow, row: 0}}
	asked := make(map[rowQuestion][]ring.ID)
	for i, q := range s.rowQuestions(200) {
		turn := rowQuestion{want: q.want, row: q.row}
		if want := order[i%len(order)]; turn != want {
			t.Fatalf("question %d is for %v of row %d, want %v of row %d", i, turn.want, turn.row, want.want, want.row)
		}
		if at := points([]*Contact{q.to})[0]; !slices.Contains(nearest[turn], at) {
			t.Errorf("question %d, for %v of row %d, goes to %d, want one of %v", i, turn.want, turn.row, at, nearest[turn])
		}
		if !slices.Contains(asked[turn], q.to.ID) {
			asked[turn] = append(asked[turn], q.to.ID)
		}
	}
	for turn, all := range asked {
		if len(all) != nearFew {
			t.Errorf("%d were asked for %v of row %d, want each of the nearest %d", len(all), turn.want, turn.row, nearFew)
		}
	}
}

// TestLeafExchangeTurns has the leaf set not change: every half hour or so one neighbour
// is asked for its own, the immediate ones and the farthest in turns.
func TestLeafExchangeTurns(t *testing.T) {
	s := activeScript(t, 500, 300, 400, 600, 700)
	every := s.n.cfg.LeafExchange
	if every != 30*time.Minute {
		t.Errorf("the time between two exchanges is %v, want 30m", every)
	}
	s.n.unshown = false
	s.n.arm(timerLeaves, 0)
	s.wait(0)
	last := s.now
	for i, want := range []int{400, 600, 300, 700, 400, 600} {
		for i > 0 {
			at, ok := s.n.Deadline()
			if !ok {
				t.Fatal("nothing is waited for")
			}
			s.wait(time.Duration(at - s.now))
			if to, _ := s.sent(KindProbe); len(to) > 0 {
				break
			}
		}
		p := s.one(want, KindProbe)
		if p.Want != WantLeaves {
			t.Errorf("question %d is for %v, want the leaf set", i, p.Want)
		}
		if got := time.Duration(s.now - last); i > 0 && (got < every*3/4 || got > every*5/4) {
			t.Errorf("question %d comes after %v, want %v, a quarter more or less", i, got, every)
		}
		last = s.now
		s.answerProbes()
	}
}

// TestShortSide has the last leaf of a side leave a ring that is left with as many nodes
// as the leaf set shows: the farthest on that side is asked with every heartbeat, for all
// that it sees, until it sees the two ends of the leaf set next to each other.
func TestShortSide(t *testing.T) {
	s := activeScript(t, 500, 300, 400, 600, 700)
	s.n.arm(timerHeartbeat, s.n.cfg.Heartbeat)
	s.hear(contactAt(point(700)), &Packet{Kind: KindLeave, State: StateLeaving, Seq: 1})
	for round, sees := range [][]int{{400, 500, 700, 300}, {400, 500}, {500, 300, 400}} {
		var asked *Packet
		for range 100 {
			if ps := s.sentTo(600, KindProbe); len(ps) > 0 {
				asked = ps[0]
				break
			}
			s.wait(s.n.cfg.Heartbeat / 50)
			s.answerProbes(600)
		}
		if asked == nil || asked.Want&WantLeaves == 0 || asked.Version != 0 {
			t.Fatalf("round %d: question is %+v, want one for the whole leaf set", round, asked)
		}
		if s.n.leaves.Wraps() {
			t.Fatalf("round %d: the set seems to go all the way round", round)
		}
		s.replies(contactAt(point(600)), asked, contactsAt(seatsAt(sees)...)...)
	}
	wantSides(t, s.n.leaves, []int{400, 300}, []int{600, 300})
	for range 100 {
		s.wait(s.n.cfg.Heartbeat / 50)
		for _, p := range s.sentTo(600, KindProbe) {
			if p.Want&WantLeaves != 0 {
				t.Error("asked again, though both sides are known")
			}
		}
		s.answerProbes()
	}
}

func seatsAt(points []int) (ids []ring.ID) {
	for _, p := range points {
		ids = append(ids, point(p))
	}
	return ids
}
