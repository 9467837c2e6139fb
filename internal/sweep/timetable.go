package sweep

import (
	"math/bits"
	"slices"
	"time"

	"github.com/secondbit/pastry/ring"
)

// Config says how a Timetable works. All fields but Turn must be positive.
type Config struct {
	Cycle  time.Duration // in which the whole ring is swept once; whole seconds
	Slices int           // the parts into which a cycle is divided
	Turn   ring.ID       // added to each position, so that nodes are at different ones
}

const (
	pieces     = 16               // of a cycle at least, when much is due at once
	retryAfter = time.Minute      // the first failure; doubles
	retryLimit = time.Hour        // between two tries
	tolerance  = 10 * time.Minute // that the clock may go back unheeded
)

// Span is a time in which keys became due: those that the position passed from
// From, included, to To, excluded. It is never empty and at most a cycle long.
type Span struct{ From, To time.Time }

// retry is a span that failed.
type retry struct {
	Span
	at    time.Time
	tries int
}

// Timetable says which keys are to be announced again when. It is not safe for
// concurrent use. Times are wall clock times, which may jump.
type Timetable struct {
	cfg   Config
	done  time.Time // up to here all was handed out
	busy  retry     // handed out and not done, or zero
	again []retry   // in the order in which they failed
}

// New returns a timetable for a node that has swept everything up to a time, the
// zero time if never: then the whole ring is due.
func New(cfg Config, swept time.Time) *Timetable { return &Timetable{cfg: cfg, done: swept} }

// Next returns what is due. Only when it is Done, Next returns another one.
//
// When more than a slice is due, as after a pause, it comes in larger pieces. What
// was due more than a cycle ago is due again, and comes once.
func (t *Timetable) Next(now time.Time) (Span, bool) {
	now = t.adjust(now)
	if t.busy != (retry{}) {
		return Span{}, false
	}
	for i, r := range t.again {
		if !r.at.After(now) {
			t.again = slices.Delete(t.again, i, i+1)
			t.busy = r
			return r.Span, true
		}
	}
	if now.Sub(t.done) < t.slice() {
		return Span{}, false
	}
	s := Span{t.done, t.done.Add(min(now.Sub(t.done), t.cfg.Cycle/pieces))}
	t.done, t.busy = s.To, retry{Span: s}
	return s, true
}

// Done says whether what Next returned was announced. If not, it is due again
// after a while.
func (t *Timetable) Done(now time.Time, ok bool) {
	now = t.adjust(now)
	r := t.busy
	t.busy = retry{}
	// After the clock went back, all is due anyway.
	if ok || r == (retry{}) || r.To.After(t.done) {
		return
	}
	r.at = now.Add(min(retryAfter<<min(r.tries, 16), retryLimit))
	r.tries++
	t.again = append(t.again, r)
}

// Deadline returns when something is due next, if the clock runs on.
func (t *Timetable) Deadline() time.Time {
	next := t.done.Add(t.slice())
	for _, r := range t.again {
		if r.at.Before(next) {
			next = r.at
		}
	}
	return next
}

// Swept returns the time up to which everything has been announced that was due:
// what New is to be told after a restart.
func (t *Timetable) Swept() time.Time {
	swept := t.done
	if t.busy != (retry{}) && t.busy.From.Before(swept) {
		swept = t.busy.From
	}
	for _, r := range t.again {
		if r.From.Before(swept) {
			swept = r.From
		}
	}
	return swept
}

// adjust takes notice of what the wall clock did, and returns its time. Nobody knows how long ago a key was
// announced when the clock has gone back: the whole ring is due. So it is when the
// clock went ahead by more than a cycle.
func (t *Timetable) adjust(now time.Time) time.Time {
	now = now.Round(0)
	switch behind := now.Sub(t.done); {
	case behind < -tolerance, behind > t.cfg.Cycle:
		t.done = now.Add(-t.cfg.Cycle)
		t.again = nil
	default:
		t.again = slices.DeleteFunc(t.again, func(r retry) bool { return t.done.Sub(r.To) >= t.cfg.Cycle })
	}
	return now
}

func (t *Timetable) slice() time.Duration { return t.cfg.Cycle / time.Duration(t.cfg.Slices) }

// Arc returns the first and the last of the keys that became due in a span, going
// up. Those of a cycle are the whole ring, where last comes right before first.
func (t *Timetable) Arc(s Span) (first, last ring.ID) {
	return t.position(s.From), t.position(s.To).Sub(ring.FromUint64s(0, 1))
}

// position returns the part of the cycle that has passed, as a part of the ring,
// turned.
func (t *Timetable) position(at time.Time) ring.ID {
	cycle := int64(t.cfg.Cycle / time.Second)
	second := at.Unix() % cycle
	if second < 0 {
		second += cycle
	}
	passed := uint64(second)*uint64(time.Second) + uint64(at.Nanosecond())
	hi, rest := bits.Div64(passed, 0, uint64(t.cfg.Cycle))
	lo, _ := bits.Div64(rest, 0, uint64(t.cfg.Cycle))
	return ring.FromUint64s(hi, lo).Add(t.cfg.Turn)
}
