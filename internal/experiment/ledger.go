package experiment

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/internal/sim"
	"github.com/secondbit/pastry/ring"
)

const (
	maxIncidents = 10              // wrong and lost lookups that are described one by one
	ledgerGrace  = 5 * time.Second // after the TTL, for a message that is still on the wire
)

// Lookups counts the lookups of a run by what became of them. Each one sent is
// delivered, lost, open, or its origin is gone:
//
//	Sent = Delivered + Lost + OriginGone + Open
type Lookups struct {
	Sent       int     `json:"lookups"`
	Delivered  int     `json:"delivered"`       // by anybody, at least once, within the TTL
	Wrong      int     `json:"wrong"`           // delivered by a node that was not the root at that instant
	Lost       int     `json:"lost"`            // not delivered within the TTL although the origin stayed up
	OriginGone int     `json:"origin_gone"`     // not delivered, and the origin was gone before its time was over
	Open       int     `json:"open"`            // undecided, in a run that was cut short
	Unanswered int     `json:"unanswered"`      // delivered, but the origin, which stayed up, had no answer
	Again      int     `json:"delivered_again"` // delivered more than once, since who did had crashed
	WrongRate  float64 `json:"wrong_rate"`
	WrongBound float64 `json:"wrong_rate_95"` // at most, with 95% confidence
	LossRate   float64 `json:"loss_rate"`
	LossBound  float64 `json:"loss_rate_95"`
	MeanHops   float64 `json:"mean_hops"` // links from the origin to who delivered
	MaxHops    int     `json:"max_hops"`
	Stretch    float64 `json:"stretch"` // sum of the delays over sum of the direct delays
	RDP        float64 `json:"rdp"`     // mean over lookups of delay over direct delay, origins that are root left out
	DelayMean  float64 `json:"delay_mean_ms"`
	DelayP50   float64 `json:"delay_p50_ms"`
	DelayP90   float64 `json:"delay_p90_ms"`
	DelayP99   float64 `json:"delay_p99_ms"`
	DelayP999  float64 `json:"delay_p999_ms"`
	DelayMax   float64 `json:"delay_max_ms"`

	// Incidents describes the first wrong and lost lookups.
	Incidents []string `json:"incidents,omitempty"`
}

// rows returns the counts for people.
func (l *Lookups) rows() []Row {
	return []Row{
		{Name: "lookups", Value: fmt.Sprint(l.Sent)},
		{Name: "wrong deliveries", Value: fmt.Sprintf("%d, rate %.2g, at most %.2g (95%%)", l.Wrong, l.WrongRate, l.WrongBound)},
		{Name: "lookups lost", Value: fmt.Sprintf("%d, rate %.2g, at most %.2g (95%%)", l.Lost, l.LossRate, l.LossBound)},
		{Name: "not delivered, origin gone", Value: fmt.Sprint(l.OriginGone)},
		{Name: "delivered, answer lost", Value: fmt.Sprint(l.Unanswered)},
		{Name: "delivered again after a crash", Value: fmt.Sprint(l.Again)},
		{Name: "hops, mean and most", Value: fmt.Sprintf("%.3f, %d", l.MeanHops, l.MaxHops)},
		{Name: "delay over direct, of sums", Value: fmt.Sprintf("%.3f", l.Stretch)},
		{Name: "delay over direct, mean of ratios", Value: fmt.Sprintf("%.3f", l.RDP)},
		{Name: "delay p50, p90, p99, p99.9, most", Value: fmt.Sprintf("%.0f, %.0f, %.0f, %.0f, %.0f ms",
			l.DelayP50, l.DelayP90, l.DelayP99, l.DelayP999, l.DelayMax)},
	}
}

// remarks returns what went wrong, line by line.
func (l *Lookups) remarks() []Row {
	return remarks("incident", l.Incidents)
}

// lookup is one message whose fate is not decided yet.
type lookup struct {
	book       *book
	key        ring.ID
	origin     int
	sent       time.Duration
	deliveries int
	late       time.Duration // of the first delivery, which was after the TTL; zero if it was not
	wrong      bool
	ended      bool        // there was an answer, or the origin is gone
	gone       bool        // the origin crashed or left
	code       pastry.Code // of the answer
}

// book is the account of the lookups sent in a part of a run.
type book struct {
	Lookups
	hops    int
	right   int // deliveries that hops, delays and directs are of
	delays  []time.Duration
	directs time.Duration
	ratios  float64
	ratioed int
}

// ledger sends lookups into a world and keeps account of them. A lookup is
// judged at each delivery, and settled when its TTL is over: until then a second
// delivery may come.
type ledger struct {
	world *sim.Sim
	ttl   time.Duration
	// truth returns the node that must deliver a message of origin for key at
	// this instant, -1 if there is none.
	truth func(origin int, key ring.ID) int
	// told, if set, is called at every delivery.
	told func(lk *lookup, d sim.Delivery, right bool)
	rng  *rand.Rand // when and whence lookups are sent

	book      *book // of the lookups sent now
	open      map[pastry.MessageID]*lookup
	sending   *lookup       // may be delivered before its ID is known
	lastWrong time.Duration // when, zero if never
}

// newLedger returns a ledger whose truth is the root of the whole ring, and lets
// it see the deliveries and answers of the world.
func newLedger(world *sim.Sim, seed uint64, ttl time.Duration) *ledger {
	l := &ledger{
		world: world, ttl: ttl, open: make(map[pastry.MessageID]*lookup),
		truth: func(_ int, key ring.ID) int { return world.Root(key) },
		book:  new(book),
		rng:   rand.New(rand.NewPCG(seed, 0x1ed6e4)),
	}
	world.Deliver, world.Ended = l.deliver, l.end
	return l
}

// send sends a lookup.
func (l *ledger) send(origin int, key ring.ID) {
	lk := &lookup{book: l.book, key: key, origin: origin, sent: l.world.Now()}
	l.book.Sent++
	l.sending = lk
	id := l.world.Route(origin, key, l.ttl).Msg.ID
	l.sending = nil
	l.open[id] = lk
	l.world.After(l.ttl+ledgerGrace, func() { l.settle(id) })
}

// feed sends lookups from random active nodes to random keys, rate of them a
// second for each active node with exponential gaps, as long as more returns
// true.
func (l *ledger) feed(rate float64, more func() bool) {
	gap := l.rng.ExpFloat64() / (rate * float64(max(1, l.world.CountActive())))
	l.world.After(time.Duration(gap*float64(time.Second)), func() {
		if !more() {
			return
		}
		if i := l.world.RandomActive(); i >= 0 {
			l.send(i, ring.FromUint64s(l.rng.Uint64(), l.rng.Uint64()))
		}
		l.feed(rate, more)
	})
}

func (l *ledger) find(id pastry.MessageID) *lookup {
	if lk := l.open[id]; lk != nil {
		return lk
	}
	return l.sending
}

// deliver is the application of every node: it judges the delivery, and answers
// with nothing.
func (l *ledger) deliver(d sim.Delivery, m *pastry.Routed) sim.Reply {
	lk := l.find(m.ID)
	if lk == nil {
		return sim.Reply{}
	}
	lk.deliveries++
	if delay := d.At - lk.sent; lk.deliveries == 1 && delay > l.ttl {
		lk.late = delay
	}
	root := l.truth(lk.origin, lk.key)
	right := d.Node == root
	if !right {
		lk.wrong = true
		l.lastWrong = d.At
		l.incident(lk.book, "wrong: key %v, sent by node %d at %.3fs, delivered by node %d at %.3fs after %d hops; its root is node %d (delivery %d)",
			lk.key, lk.origin, lk.sent.Seconds(), d.Node, d.At.Seconds(), d.Hops, root, lk.deliveries)
	} else if lk.deliveries == 1 && lk.late == 0 {
		lk.book.measure(d.At-lk.sent, l.world.Direct(lk.origin, d.Node), d.Hops)
	}
	if l.told != nil {
		l.told(lk, d, right)
	}
	return sim.Reply{}
}

// measure takes in the way of a lookup that was delivered rightly. There is no
// direct way for one whose origin was its root.
func (b *book) measure(delay, direct time.Duration, hops int) {
	b.right++
	b.hops += hops
	b.MaxHops = max(b.MaxHops, hops)
	b.delays = append(b.delays, delay)
	if hops > 0 && direct > 0 {
		b.directs += direct
		b.ratios += float64(delay) / float64(direct)
		b.ratioed++
	}
}

// end notes the answer of a lookup, or that its origin is gone.
func (l *ledger) end(m *sim.Message) {
	lk := l.find(m.Msg.ID)
	if lk == nil || lk.ended {
		return
	}
	lk.ended = true
	if m.Answer == nil {
		lk.gone = true
		return
	}
	lk.code = m.Answer.Code
	lk.gone = lk.code == pastry.CodeNotActive && !l.world.Active(lk.origin)
}

// settle decides what became of a lookup.
func (l *ledger) settle(id pastry.MessageID) {
	lk := l.open[id]
	delete(l.open, id)
	s := lk.book
	if lk.deliveries > 1 {
		s.Again++
	}
	if lk.wrong {
		s.Wrong++
	}
	switch {
	case lk.deliveries > 0 && lk.late == 0:
		s.Delivered++
		if !lk.gone && (!lk.ended || lk.code != pastry.CodeOK) {
			s.Unanswered++
		}
	case lk.gone:
		s.OriginGone++
	default:
		s.Lost++
		how, answer := "never delivered", "no answer"
		if lk.late > 0 {
			how = fmt.Sprintf("delivered after %.3fs", lk.late.Seconds())
		}
		if lk.ended {
			answer = lk.code.String()
		}
		l.incident(s, "lost: key %v, sent by node %d at %.3fs, %s (%s); its root is now node %d",
			lk.key, lk.origin, lk.sent.Seconds(), how, answer, l.truth(lk.origin, lk.key))
	}
}

// incident adds a line about a lookup that went wrong to its book.
func (l *ledger) incident(b *book, format string, args ...any) {
	if len(b.Incidents) < maxIncidents {
		b.Incidents = append(b.Incidents, fmt.Sprintf("seed %d: ", l.world.Seed)+fmt.Sprintf(format, args...))
	}
}

// turn begins a new book for the lookups sent from now on, and returns the one
// so far, in which those sent before are still settled.
func (l *ledger) turn() *book {
	b := l.book
	l.book = new(book)
	return b
}

// account returns what a book says.
func (l *ledger) account(b *book) Lookups {
	s := b.Lookups
	for _, lk := range l.open { // order does not matter: they are counted
		if lk.book == b {
			s.Open++
		}
	}
	s.WrongRate, s.WrongBound = rateOf(s.Wrong, s.Sent)
	s.LossRate, s.LossBound = rateOf(s.Lost, s.Sent)
	var sum time.Duration
	for _, d := range b.delays {
		sum += d
	}
	if b.right > 0 {
		s.MeanHops = float64(b.hops) / float64(b.right)
		s.DelayMean = milliseconds(sum) / float64(b.right)
	}
	if b.ratioed > 0 {
		s.Stretch = float64(sum) / float64(b.directs)
		s.RDP = b.ratios / float64(b.ratioed)
	}
	slices.Sort(b.delays)
	s.DelayP50, s.DelayP90 = milliseconds(rank(b.delays, 0.5)), milliseconds(rank(b.delays, 0.9))
	s.DelayP99, s.DelayP999 = milliseconds(rank(b.delays, 0.99)), milliseconds(rank(b.delays, 0.999))
	s.DelayMax = milliseconds(rank(b.delays, 1))
	return s
}

// rank returns the q-quantile of sorted values: the least that at least the
// share q of them do not exceed. Of none it is zero.
func rank[T any](sorted []T, q float64) T {
	if len(sorted) == 0 {
		var zero T
		return zero
	}
	i := int(math.Ceil(q*float64(len(sorted)))) - 1
	return sorted[min(max(i, 0), len(sorted)-1)]
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// rateOf returns k/n and the upper end of its one-sided 95% confidence interval,
// k taken as a Poisson variable: 3/n when k is zero.
func rateOf(k, n int) (rate, bound float64) {
	if n == 0 {
		return 0, 1
	}
	low, high := float64(k), float64(k)+5+4*math.Sqrt(float64(k)+1)
	for high-low > 1e-9*high {
		mid := (low + high) / 2
		if poissonAtMost(k, mid) > 0.05 {
			low = mid
		} else {
			high = mid
		}
	}
	return float64(k) / float64(n), min(1, high/float64(n))
}

// poissonAtMost returns the probability of at most k events when mean are
// expected.
func poissonAtMost(k int, mean float64) float64 {
	var sum float64
	for i := 0; i <= k; i++ {
		lg, _ := math.Lgamma(float64(i + 1))
		sum += math.Exp(float64(i)*math.Log(mean) - mean - lg)
	}
	return sum
}
