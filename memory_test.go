package pastry

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"
)

func messageID(n int) (id MessageID) {
	binary.BigEndian.PutUint64(id[8:], uint64(n))
	return id
}

// remembered returns the numbers of the messages that are remembered, latest
// first.
func remembered(m *memory[int]) []int {
	ids := []int{}
	m.each(func(id MessageID, v *int) bool {
		ids = append(ids, int(binary.BigEndian.Uint64(id[8:])))
		return true
	})
	return ids
}

func TestMemoryBound(t *testing.T) {
	m := newMemory[int](3)
	for i := range 1000 {
		m.add(messageID(i), new(int), 1<<40)
		if len(m.m) > 3 || len(m.fifo) > 200 {
			t.Fatalf("remembers %d values in %d places after %d, want at most 3", len(m.m), len(m.fifo), i)
		}
	}
	if got, want := remembered(&m), []int{999, 998, 997}; !slices.Equal(got, want) {
		t.Errorf("remembers %v, want the latest, %v", got, want)
	}
}

func TestMemoryExpires(t *testing.T) {
	m := newMemory[int](100)
	for i := range 5 {
		m.add(messageID(i), new(int), Time(10*i))
	}
	for _, step := range []struct {
		now  Time
		want []int
	}{
		{-1, []int{4, 3, 2, 1, 0}},
		{0, []int{4, 3, 2, 1}},
		{19, []int{4, 3, 2}},
		{20, []int{4, 3}},
		{5, []int{4, 3}}, // time does not bring anything back
		{1000, []int{}},
	} {
		m.expire(step.now)
		if got := remembered(&m); !slices.Equal(got, step.want) {
			t.Errorf("at %d it remembers %v, want %v", step.now, got, step.want)
		}
	}
}

// TestMemoryAddAgain has one message added anew, after it was forgotten and
// without: the newer value stays for its own time and is named once.
func TestMemoryAddAgain(t *testing.T) {
	for _, forget := range []bool{true, false} {
		m := newMemory[int](4)
		older, newer := new(int), new(int)
		m.add(messageID(1), older, 10)
		if forget {
			m.forget(messageID(1))
			if m.get(messageID(1)) != nil {
				t.Error("a forgotten value is still there")
			}
		}
		m.add(messageID(1), newer, 100)
		if got := remembered(&m); !slices.Equal(got, []int{1}) {
			t.Errorf("forgotten %t: names %v, want the message once", forget, got)
		}
		m.expire(10)
		if got := m.get(messageID(1)); got != newer {
			t.Errorf("forgotten %t: after the older one's time the value is %p, want the newer %p", forget, got, newer)
		}
		for i := range 3 {
			m.add(messageID(10+i), new(int), 100)
		}
		if got := m.get(messageID(1)); got != newer {
			t.Errorf("forgotten %t: the value went though there was room", forget)
		}
		m.expire(100)
		if got := m.get(messageID(1)); got != nil {
			t.Errorf("forgotten %t: the value outlived its time", forget)
		}
	}
}

func TestMemoryEachStops(t *testing.T) {
	m := newMemory[int](10)
	for i := range 10 {
		m.add(messageID(i), new(int), 1)
	}
	calls := 0
	m.each(func(MessageID, *int) bool { calls++; return calls < 4 })
	if calls != 4 {
		t.Errorf("called %d times, want 4", calls)
	}
}

// TestMemoryAgainstModel compares with a list in the order of additions.
func TestMemoryAgainstModel(t *testing.T) {
	type entry struct {
		id      int
		v       *int
		expires Time
	}
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 6))
		m := newMemory[int](1 + rng.IntN(100))
		var list []entry // what was added, oldest first; v is nil when it is void
		void := func(id int) {
			for i := range list {
				if list[i].id == id {
					list[i].v = nil
				}
			}
		}
		var now Time
		for range 2000 {
			id := rng.IntN(150)
			switch rng.IntN(10) {
			case 0:
				m.forget(messageID(id))
				void(id)
			case 1:
				now += Time(rng.IntN(20))
				m.expire(now)
				for len(list) > 0 && list[0].expires <= now {
					list = list[1:]
				}
			default:
				v := new(int)
				m.add(messageID(id), v, now+50)
				void(id)
				list = append(list, entry{id, v, now + 50})
				list = list[max(0, len(list)-m.size):]
			}
			var want []int
			for _, e := range slices.Backward(list) {
				if e.v != nil {
					want = append(want, e.id)
					if m.get(messageID(e.id)) != e.v {
						t.Fatalf("seed %d: message %d has another value than was added last", seed, e.id)
					}
				}
			}
			if got := remembered(&m); !slices.Equal(got, want) {
				t.Fatalf("seed %d: remembers %v, want %v", seed, got, want)
			}
			if len(m.m) != len(want) {
				t.Fatalf("seed %d: keeps %d values, names %d", seed, len(m.m), len(want))
			}
		}
	}
}
