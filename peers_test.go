package pastry

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/secondbit/pastry/ring"
)

func TestUsable(t *testing.T) {
	client := contactAt(point(1))
	client.Client = true
	for _, tt := range []struct {
		name string
		peer peerState
		want bool
	}{
		{"active and live", peerState{c: contactAt(point(1)), live: true, state: StateActive}, true},
		{"never answered", peerState{c: contactAt(point(1)), state: StateActive}, false},
		{"joining", peerState{c: contactAt(point(1)), live: true, state: StateJoining}, false},
		{"leaving", peerState{c: contactAt(point(1)), live: true, state: StateLeaving}, false},
		{"client", peerState{c: client, live: true, state: StateActive}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.peer.usable(); got != tt.want {
				t.Errorf("usable is %t, want %t", got, tt.want)
			}
		})
	}
}

// RFC 6298, section 2: "When the first RTT measurement R is made, the host MUST
// set SRTT <- R". The variance is smaller than TCP's.
func TestRTTFirstSample(t *testing.T) {
	r := rttOf(Time(80 * time.Millisecond))
	if r.smoothed != Time(80*time.Millisecond) || r.least != r.smoothed || r.variance <= 0 || r.variance > r.smoothed/2 {
		t.Errorf("after one sample of 80ms it is %+v", r)
	}
}

// RFC 6298, section 2: "RTTVAR <- (1 - beta) * RTTVAR + beta * |SRTT - R'|,
// SRTT <- (1 - alpha) * SRTT + alpha * R'", with alpha=1/8 and beta=1/4.
func TestRTTSecondSample(t *testing.T) {
	r := rttOf(800)
	first := r.variance
	r.observe(1600)
	if got, want := r.variance, first+(1600-800-first)/4; got != want {
		t.Errorf("variance is %d, want %d", got, want)
	}
	if got, want := r.smoothed, Time(800+800/8); got != want {
		t.Errorf("smoothed is %d, want %d", got, want)
	}
}

func TestRTTOfNothing(t *testing.T) {
	var r rtt
	r.observe(0)
	r.observe(-5)
	if r.smoothed < 1 || r.least < 1 {
		t.Errorf("samples of nothing give %+v, want at least a nanosecond", r)
	}
}

func TestRTTTimeout(t *testing.T) {
	const floor, initial = Time(20 * time.Millisecond), Time(time.Second)
	steady := func(sample time.Duration) rtt {
		var r rtt
		for range 100 {
			r.observe(Time(sample))
		}
		return r
	}
	for _, tt := range []struct {
		name        string
		rtt         rtt
		least, most time.Duration
	}{
		{"no sample", rtt{}, time.Second, time.Second},
		{"local", steady(100 * time.Microsecond), 20 * time.Millisecond, 20 * time.Millisecond},
		{"far and steady", steady(200 * time.Millisecond), 205 * time.Millisecond, 240 * time.Millisecond},
		{"very far", steady(5 * time.Second), time.Second, time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := time.Duration(tt.rtt.timeout(floor, initial)); got < tt.least || got > tt.most {
				t.Errorf("timeout is %v, want %v to %v", got, tt.least, tt.most)
			}
		})
	}
}

// TestRTTLeast has a link that was fast once and is slow now: the least round
// trip of late forgets the good days.
func TestRTTLeast(t *testing.T) {
	var r rtt
	r.observe(Time(10 * time.Millisecond))
	r.observe(Time(100 * time.Millisecond))
	if got := time.Duration(r.least); got > 16*time.Millisecond {
		t.Errorf("least is %v after one slow sample, want still about 10ms", got)
	}
	for range 100 {
		r.observe(Time(100 * time.Millisecond))
	}
	if got := time.Duration(r.least); got < 90*time.Millisecond {
		t.Errorf("least is %v after 100 samples of 100ms, want near them", got)
	}
	r.observe(Time(50 * time.Millisecond))
	if got := time.Duration(r.least); got != 50*time.Millisecond {
		t.Errorf("least is %v after a sample of 50ms, want that", got)
	}
}

// TestIndexAgainstModel compares the binary searches of the index of usable
// peers with searches of all of them.
func TestIndexAgainstModel(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 8))
		b := 1 + rng.IntN(8)
		self, key := ring.Random(rng), ring.Random(rng)
		var x index
		var all []*peerState
		for range rng.IntN(40) {
			p := &peerState{c: contactAt(nearID(rng, key)), rtt: rtt{least: Time(1 + rng.IntN(1000000))}}
			x.insert(p)
			x.insert(p)
			all = append(all, p)
		}
		for range len(all) / 3 {
			i := rng.IntN(len(all))
			x.remove(all[i])
			x.remove(all[i])
			all = slices.Delete(all, i, i+1)
		}
		if len(x) != len(all) || !slices.IsSortedFunc(x, func(a, b *peerState) int { return a.c.ID.Compare(b.c.ID) }) {
			t.Fatalf("seed %d: the index has %d peers of %d, or is not in order", seed, len(x), len(all))
		}
		skip := func(id ring.ID) bool { _, lo := id.Uint64s(); return lo%5 == 0 }
		atLeast := rng.IntN(4)
		got, digits := x.longest(key, b, atLeast, skip)
		want, wantDigits := longestOf(all, key, b, atLeast, skip)
		if got != want || got != nil && digits != wantDigits {
			t.Fatalf("seed %d: longest is %v with %d digits, want %v with %d", seed, got, digits, want, wantDigits)
		}
		if got, want := x.closest(key, self, b, atLeast, skip), closestOf(all, key, self, b, atLeast, skip); got != want {
			t.Fatalf("seed %d: closest is %v, want %v", seed, got, want)
		}
	}
}

// nearID returns an id that shares a random number of bits with key.
func nearID(rng *rand.Rand, key ring.ID) ring.ID {
	hi, lo := ring.Random(rng).Uint64s()
	return key.Add(ring.FromUint64s(hi>>rng.IntN(24), lo))
}

func longestOf(all []*peerState, key ring.ID, b, atLeast int, skip func(ring.ID) bool) (best *peerState, digits int) {
	digits = atLeast
	for _, p := range all {
		n := ring.SharedPrefixLen(p.c.ID, key, b)
		if !skip(p.c.ID) && (n > digits || n == digits && best != nil && p.rtt.least < best.rtt.least) {
			best, digits = p, n
		}
	}
	return best, digits
}

func closestOf(all []*peerState, key, self ring.ID, b, atLeast int, skip func(ring.ID) bool) (best *peerState) {
	for _, p := range all {
		if skip(p.c.ID) || ring.SharedPrefixLen(p.c.ID, key, b) < atLeast || !ring.Closer(key, p.c.ID, self) {
			continue
		}
		if best == nil || ring.Closer(key, p.c.ID, best.c.ID) {
			best = p
		}
	}
	return best
}
