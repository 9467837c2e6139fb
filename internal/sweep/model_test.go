package sweep

import (
	"flag"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/secondbit/pastry/ring"
)

var seeds = flag.Int("seeds", 8, "seeds of the model test")

// model is a node over months. Its true time runs evenly, its wall clock jumps, it
// is off at times, and announcing fails at times.
type model struct {
	rng    *rand.Rand
	cfg    Config
	table  *Timetable
	time   time.Time     // true
	offset time.Duration // of the wall clock
	faulty time.Time     // announcing fails until then
	saved  time.Time

	keys  []ring.ID
	last  []time.Time // when each was announced
	count int
}

const horizon = 90 * 24 * time.Hour

func newModel(seed uint64) *model {
	m := &model{rng: rand.New(rand.NewPCG(seed, seed)), time: noon, saved: noon,
		cfg: Config{Cycle: 22 * time.Hour, Slices: 256}}
	m.cfg.Turn = ring.Random(m.rng)
	for range 50 {
		m.keys, m.last = append(m.keys, ring.Random(m.rng)), append(m.last, noon)
	}
	m.table = New(m.cfg, m.saved)
	return m
}

func (m *model) wall() time.Time { return m.time.Add(m.offset) }

// work does what is due.
func (m *model) work() {
	for s, ok := m.table.Next(m.wall()); ok; s, ok = m.table.Next(m.wall()) {
		ok := !m.time.Before(m.faulty)
		first, last := m.table.Arc(s)
		for i, k := range m.keys {
			if ok && ring.Clockwise(first, k).Compare(ring.Clockwise(first, last)) <= 0 {
				m.last[i] = m.time
				m.count++
			}
		}
		m.table.Done(m.wall(), ok)
		m.saved = m.table.Swept()
	}
}

// oldest returns how long ago the key was announced that waits longest.
func (m *model) oldest() time.Duration {
	var d time.Duration
	for _, at := range m.last {
		d = max(d, m.time.Sub(at))
	}
	return d
}

func (m *model) between(from, to time.Duration) time.Duration {
	return from + time.Duration(m.rng.Int64N(int64(to-from)))
}

// Every key is announced once a cycle if nothing happens.
func TestModelQuiet(t *testing.T) {
	m := newModel(1)
	for m.time.Sub(noon) < horizon {
		m.time = m.time.Add(time.Minute)
		m.work()
		if d := m.oldest(); d > m.cfg.Cycle+6*time.Minute {
			t.Fatalf("after %v a key was announced %v ago", m.time.Sub(noon), d)
		}
	}
	if want := int(horizon/m.cfg.Cycle) * len(m.keys); m.count < want || m.count > want+len(m.keys) {
		t.Errorf("got %d announcements, want about %d", m.count, want)
	}
}

// Whatever happens, no key waits longer than a cycle and the time that the node
// was off or failing, up to the next try after.
func TestModelDisturbed(t *testing.T) {
	const margin = 6*time.Minute + tolerance + retryLimit
	for seed := range uint64(*seeds) {
		m := newModel(seed + 2)
		var trouble []struct {
			end  time.Time
			took time.Duration
		}
		note := func(end time.Time, took time.Duration) {
			trouble = append(trouble, struct {
				end  time.Time
				took time.Duration
			}{end, took})
		}
		events := 0
		for next := m.time; m.time.Sub(noon) < horizon; m.time = m.time.Add(time.Minute) {
			if m.time.After(next) {
				next = m.time.Add(m.between(time.Hour, 100*time.Hour))
				events++
				switch m.rng.IntN(4) {
				case 0: // the clock jumps
					m.offset += m.between(-40*time.Hour, 40*time.Hour)
				case 1: // the clock is slewed
					m.offset += m.between(-tolerance, tolerance)
					note(m.time, tolerance)
				case 2: // off
					off := m.between(time.Minute, 60*time.Hour)
					m.time = m.time.Add(off)
					m.table = New(m.cfg, m.saved)
					note(m.time, off)
				case 3: // failing
					fails := m.between(time.Minute, 30*time.Hour)
					m.faulty = m.time.Add(fails)
					note(m.faulty, fails)
				}
			}
			m.work()
			allowed := m.cfg.Cycle + margin
			for _, x := range trouble {
				if m.time.Sub(x.end) < allowed+x.took {
					allowed += x.took
				}
			}
			if d := m.oldest(); d > allowed {
				t.Fatalf("seed %d: after %v a key was announced %v ago, want %v at most (go test -run %s -seeds %d)",
					seed, m.time.Sub(noon), d, allowed, t.Name(), seed+1)
			}
		}
		if limit := (int(horizon/m.cfg.Cycle) + 2*events) * len(m.keys); m.count > limit {
			t.Errorf("seed %d: got %d announcements with %d events, want %d at most", seed, m.count, events, limit)
		}
	}
}
