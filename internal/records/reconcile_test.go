package records

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/secondbit/pastry/pb"
	"github.com/secondbit/pastry/ring"
)

// pair returns two indexes that have most in common, and how many records differ
// at most.
func pair(rng *rand.Rand) (x, y *Index, differ int) {
	x, y = &Index{}, &Index{}
	keys := []uint64{0, 3, 200}[rng.IntN(3)]
	for range rng.IntN(4000) {
		e := randomEntry(rng, keys)
		binary.BigEndian.PutUint64(e.ID.Rest[:], rng.Uint64())
		x.Put(e)
		y.Put(e)
	}
	differ = []int{0, 1, 3, 2000}[rng.IntN(4)]
	for range differ {
		e := randomEntry(rng, keys)
		if old, ok := x.First(Arc{First: e.ID.Key, Last: prior(e.ID.Key)}); ok && rng.IntN(2) == 0 {
			e.ID = old.ID
		}
		e.Version += 4 + rng.Uint64N(2)
		z := []*Index{x, y}[rng.IntN(2)]
		if rng.IntN(3) == 0 {
			z.Delete(e.ID)
		} else {
			z.Put(e)
		}
	}
	return x, y, differ
}

// both carries out a session of x with y as a driver does, with values whose
// larger version wins, and returns how many calls and bytes it took.
func both(t *testing.T, x, y *Index, room int, arcs ...Arc) (calls, size int) {
	t.Helper()
	s := NewSession(arcs...)
	for asked := s.Next(x); len(asked) > 0; asked = s.Next(x) {
		calls++
		verdicts, err := Compare(y, asked, room)
		if err != nil {
			t.Fatal(err)
		}
		reply := proto.Size(&pb.CompareReply{Verdicts: verdicts})
		size += reply + proto.Size(&pb.CompareCall{Arcs: asked})
		if reply > max(room, 4<<10) {
			t.Fatalf("a reply of %d bytes where there is room for %d", reply, room)
		}
		if err := s.Answer(x, verdicts); err != nil {
			t.Fatal(err)
		}
		for _, i := range s.TakeLacking() {
			e, ok := y.Get(i.ID)
			if !ok || e.Version != i.Version {
				t.Fatalf("%v is lacking, the other has %v, %t", i, e, ok)
			}
			if old, held := x.Get(i.ID); !held || old.Version < e.Version {
				x.Put(e)
			}
		}
		for _, id := range s.TakeSurplus(x) {
			e, _ := x.Get(id)
			old, held := y.Get(id)
			if cut := y.Summary(Arc{First: id.Key, Last: id.Key}).Count > room/2/ItemSize; held && old.Version >= e.Version && !cut {
				t.Fatalf("%v is sent, the other has %v", e, old)
			}
			y.Put(e)
		}
		if calls > 10000 {
			t.Fatal("no end after 10000 calls")
		}
	}
	return calls, size
}

// TestSession lets two members with random differences meet, with little room
// for replies or much.
func TestSession(t *testing.T) {
	for seed := range uint64(150) {
		rng := newRand(seed)
		x, y, differ := pair(rng)
		a := Arc{First: ring.Random(rng)}
		a.Last = prior(a.First)
		room := []int{4 << 10, 32 << 10, 1 << 20}[rng.IntN(3)]
		calls, size := both(t, x, y, room, a)
		same := x.Summary(WholeRing) == y.Summary(WholeRing)
		// A single key with more records than there is room for takes several
		// sessions, or one of the other side.
		for again := 0; !same && again < 40; again++ {
			both(t, y, x, room, WholeRing)
			both(t, x, y, room, WholeRing)
			same = x.Summary(WholeRing) == y.Summary(WholeRing)
		}
		if !same {
			t.Fatalf("seed %d: the members hold %d and %d records", seed, x.Len(), y.Len())
		}
		if differ == 0 && (calls != 1 || size > 100) {
			t.Errorf("seed %d: %d calls, %d bytes, though nothing differs", seed, calls, size)
		}
	}
}

// TestSessionOneDifference counts what it takes to find one record among many.
func TestSessionOneDifference(t *testing.T) {
	x, _ := filled(100_000)
	y, es := filled(100_000)
	y.Delete(es[7].ID)
	calls, size := both(t, x, y, 1<<16, WholeRing)
	if calls > 5 || size > 8<<10 || y.Len() != x.Len() {
		t.Errorf("one record of 100000 took %d calls and %d bytes, want at most 5 and 8192", calls, size)
	}
}

// TestSessionFromNothing counts what it takes to learn of all records.
func TestSessionFromNothing(t *testing.T) {
	x, _ := filled(20_000)
	for _, tt := range []struct {
		name string
		x, y *Index
	}{{"fetch", &Index{}, x}, {"send", x, &Index{}}} {
		t.Run(tt.name, func(t *testing.T) {
			calls, size := both(t, tt.x, tt.y, 1<<16, WholeRing)
			if most := 20_000 * (ItemSize + 10); calls > 40 || size > most {
				t.Errorf("%d calls, %d bytes, want at most 40, %d", calls, size, most)
			}
		})
	}
}

// TestSessionVersions has records whose versions are in no order: what wins is
// known only after they were fetched.
func TestSessionVersions(t *testing.T) {
	a, b := Entry{ID: ID{Key: near(1)}, Version: 1}, Entry{ID: ID{Key: near(2)}, Version: 1}
	var x, y Index
	x.Put(a)
	x.Put(b)
	a.Version, b.Version = 2, 2
	y.Put(a)
	y.Put(b)
	s := NewSession(WholeRing)
	verdicts, err := Compare(&y, s.Next(&x), 4<<10)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Answer(&x, verdicts); err != nil {
		t.Fatal(err)
	}
	if got, want := s.TakeLacking(), []Item{a.Item(), b.Item()}; !slices.Equal(got, want) {
		t.Errorf("lacking are %v, want %v", got, want)
	}
	x.Put(b) // the other's version of b has won, that of a has not
	if got, want := s.TakeSurplus(&x), []ID{a.ID}; !slices.Equal(got, want) {
		t.Errorf("to be sent are %v, want %v", got, want)
	}
	if len(s.TakeLacking()) > 0 || len(s.TakeSurplus(&x)) > 0 || len(s.Next(&x)) > 0 {
		t.Error("there is more")
	}
}

func TestCompareRefuses(t *testing.T) {
	good := encodeArc(WholeRing, Summary{})
	broken := func(change func(*pb.Arc)) []*pb.Arc {
		m := proto.CloneOf(good)
		change(m)
		return []*pb.Arc{good, m}
	}
	for _, tt := range []struct {
		name string
		arcs []*pb.Arc
	}{
		{"nil", []*pb.Arc{nil}},
		{"short first", broken(func(m *pb.Arc) { m.First = m.First[1:] })},
		{"long last", broken(func(m *pb.Arc) { m.Last = append(m.Last, 0) })},
		{"no sum", broken(func(m *pb.Arc) { m.Sum = nil })},
		{"count", broken(func(m *pb.Arc) { m.Count = 1 << 40 })},
		{"many", slices.Repeat([]*pb.Arc{good}, MaxArcs+1)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := Compare(&Index{}, tt.arcs, 1<<16); !errors.Is(err, ErrCompare) {
				t.Errorf("got error %v, want %v", err, ErrCompare)
			}
		})
	}
}

// TestSessionRefuses gives malformed answers to a question about all keys.
func TestSessionRefuses(t *testing.T) {
	item := func(key int) []byte { return Item{ID: ID{Key: near(key)}}.append(nil) }
	part := func(first, last int) *pb.Arc { return encodeArc(Arc{First: near(first), Last: near(last)}, Summary{}) }
	for _, tt := range []struct {
		name     string
		verdicts []*pb.Verdict
	}{
		{"no verdict", nil},
		{"two verdicts", []*pb.Verdict{{}, {}}},
		{"a piece of an item", []*pb.Verdict{{Listed: true, Items: make([]byte, ItemSize-1)}}},
		{"items not listed", []*pb.Verdict{{Items: item(1)}}},
		{"items twice", []*pb.Verdict{{Listed: true, Items: slices.Concat(item(1), item(1))}}},
		{"items in disorder", []*pb.Verdict{{Listed: true, Items: slices.Concat(item(2), item(1))}}},
		{"a list with parts", []*pb.Verdict{{Listed: true, Parts: []*pb.Arc{part(0, 1), part(2, -1)}}}},
		{"one part", []*pb.Verdict{{Parts: []*pb.Arc{part(0, -1)}}}},
		{"a gap", []*pb.Verdict{{Parts: []*pb.Arc{part(0, 1), part(3, -1)}}}},
		{"an overlap", []*pb.Verdict{{Parts: []*pb.Arc{part(0, 1), part(1, -1)}}}},
		{"not to the end", []*pb.Verdict{{Parts: []*pb.Arc{part(0, 1), part(2, -2)}}}},
		{"beyond the end", []*pb.Verdict{{Parts: []*pb.Arc{part(0, 1), part(2, -1), part(0, 1)}}}},
		{"not from the start", []*pb.Verdict{{Parts: []*pb.Arc{part(1, 1), part(2, -1)}}}},
		{"a part without a sum", []*pb.Verdict{{Parts: []*pb.Arc{part(0, 1), {}}}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x := &Index{}
			x.Put(Entry{})
			s := NewSession(WholeRing)
			s.Next(x)
			if err := s.Answer(x, tt.verdicts); !errors.Is(err, ErrCompare) {
				t.Errorf("got error %v, want %v", err, ErrCompare)
			}
			if arcs := s.Next(x); len(arcs) > 0 {
				t.Errorf("after the error there are %d more arcs to ask about", len(arcs))
			}
		})
	}
}

func TestSessionOutsideItem(t *testing.T) {
	s := NewSession(Arc{First: near(1), Last: near(2)})
	s.Next(&Index{})
	items := Item{ID: ID{Key: near(3)}}.append(nil)
	if err := s.Answer(&Index{}, []*pb.Verdict{{Listed: true, Items: items}}); !errors.Is(err, ErrCompare) {
		t.Errorf("got error %v, want %v", err, ErrCompare)
	}
}

// TestSessionOfLiars answers every question with more parts that differ.
func TestSessionOfLiars(t *testing.T) {
	x, _ := filled(1000)
	s := NewSession(WholeRing)
	calls, open := 0, 0
	var err error
	for arcs := s.Next(x); len(arcs) > 0 && err == nil; arcs = s.Next(x) {
		var verdicts []*pb.Verdict
		for _, m := range arcs {
			a, _, _ := decodeArc(m)
			v := &pb.Verdict{}
			width := ring.Clockwise(a.First, a.Last)
			for range 5 {
				width = width.Half() // to 1/32 of the arc
			}
			for i := range maxParts {
				part := Arc{First: a.First, Last: a.First.Add(width)}
				if i == maxParts-1 {
					part.Last = a.Last
				}
				v.Parts = append(v.Parts, encodeArc(part, Summary{Sum: near(1), Count: 1}))
				a.First = after(part.Last)
			}
			verdicts = append(verdicts, v)
		}
		err = s.Answer(x, verdicts)
		calls, open = calls+1, max(open, len(s.open))
	}
	if !errors.Is(err, ErrCompare) || calls > maxAsked || open > MaxArcs*maxParts*maxDepth {
		t.Errorf("after %d calls and up to %d open questions: %v", calls, open, err)
	}
}

// fuzzIndex makes an index out of bytes.
func fuzzIndex(b []byte) *Index {
	x := &Index{}
	for ; len(b) >= 3; b = b[3:] {
		e := Entry{ID: ID{Key: near(int(b[0]) - 128)}, Version: uint64(b[2])}
		e.ID.Rest[0] = b[1]
		x.Put(e)
	}
	return x
}

func FuzzCompare(f *testing.F) {
	whole, _ := proto.Marshal(&pb.CompareCall{Arcs: []*pb.Arc{encodeArc(WholeRing, Summary{})}})
	f.Add(whole, bytes.Repeat([]byte{1, 2, 3, 200, 5, 6}, 10))
	f.Fuzz(func(t *testing.T, call, held []byte) {
		var m pb.CompareCall
		if proto.Unmarshal(call, &m) != nil {
			return
		}
		x := fuzzIndex(held)
		verdicts, err := Compare(x, m.Arcs, 4<<10)
		if err != nil {
			return
		}
		if len(verdicts) > len(m.Arcs) || len(m.Arcs) > 0 && len(verdicts) == 0 {
			t.Fatalf("%d verdicts on %d arcs", len(verdicts), len(m.Arcs))
		}
		for i, v := range verdicts {
			a, _, _ := decodeArc(m.Arcs[i])
			s := NewSession(a)
			s.Next(x)
			if err := s.Answer(x, []*pb.Verdict{v}); err != nil {
				t.Fatalf("own verdict on %v is refused: %v", a, err)
			}
		}
	})
}

func FuzzAnswer(f *testing.F) {
	y := fuzzIndex(bytes.Repeat([]byte{1, 2, 3, 200, 5, 6}, 10))
	verdicts, _ := Compare(y, []*pb.Arc{encodeArc(WholeRing, Summary{})}, 4<<10)
	reply, _ := proto.Marshal(&pb.CompareReply{Verdicts: verdicts})
	f.Add(reply, []byte{1, 2, 3})
	f.Fuzz(func(t *testing.T, reply, held []byte) {
		var m pb.CompareReply
		if proto.Unmarshal(reply, &m) != nil {
			return
		}
		x := fuzzIndex(held)
		s := NewSession(WholeRing)
		for range 3 {
			if len(s.Next(x)) == 0 {
				return
			}
			err := s.Answer(x, m.Verdicts)
			if err != nil && !errors.Is(err, ErrCompare) {
				t.Fatalf("got error %v", err)
			}
			s.TakeSurplus(x)
		}
	})
}

func BenchmarkCompareEqual(b *testing.B) {
	x, _ := filled(100_000)
	arcs := []*pb.Arc{encodeArc(WholeRing, x.Summary(WholeRing))}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Compare(x, arcs, 1<<16); err != nil {
			b.Fatal(err)
		}
	}
}
