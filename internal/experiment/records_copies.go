package experiment

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// copies is what the oracle knows of the records: on how many live members each
// is, at every moment.
type copies struct {
	want     int // that there should be
	watching bool
	of       []copied
	levels   []level         // of the records that are watched, by the number of copies
	fewest   int             // copies of a record, at any time
	repairs  []time.Duration // how long records had too few, each time
}

// copied is what there is of one record.
type copied struct {
	live    int
	acked   bool
	watched bool
	since   time.Duration // when it came to have too few
	fates   []fate        // of the last copies that went
}

// fate is the end of a copy.
type fate struct {
	at   time.Duration
	node int
	how  string
}

// level is how many records have the same number of copies.
type level struct {
	records int
	since   time.Duration // that they are so many
	time    float64       // record seconds before
}

func newCopies(records, want int) *copies { return &copies{want: want, of: make([]copied, records)} }

// gain and lose count a copy that has come to be, or is no more.
func (c *copies) gain(rec int, now time.Duration) { c.change(rec, 1, now) }

func (c *copies) lose(rec int, now time.Duration, node int, how string) {
	r := &c.of[rec]
	if len(r.fates) >= 2*c.want {
		r.fates = slices.Delete(r.fates, 0, 1)
	}
	r.fates = append(r.fates, fate{now, node, how})
	c.change(rec, -1, now)
}

func (c *copies) change(rec, by int, now time.Duration) {
	r := &c.of[rec]
	was := r.live
	r.live += by
	if !r.watched {
		return
	}
	c.level(was).add(-1, now)
	c.level(r.live).add(1, now)
	c.fewest = min(c.fewest, r.live)
	switch {
	case was >= c.want && r.live < c.want:
		r.since = now
	case was < c.want && r.live >= c.want:
		c.repairs = append(c.repairs, now-r.since)
	}
}

func (c *copies) level(n int) *level {
	for len(c.levels) <= n {
		c.levels = append(c.levels, level{})
	}
	return &c.levels[n]
}

// add counts records that come to a level, or go.
func (l *level) add(records int, now time.Duration) {
	l.time += float64(l.records) * (now - l.since).Seconds()
	l.records, l.since = l.records+records, now
}

// watch begins to watch the records that were acknowledged.
func (c *copies) watch(now time.Duration) {
	c.watching, c.fewest = true, c.want
	for rec := range c.of {
		if r := &c.of[rec]; r.acked {
			r.watched, r.since = true, now
			l := c.level(r.live)
			l.since = now
			l.records++
			c.fewest = min(c.fewest, r.live)
		}
	}
}

// unwatch ends that. What has too few copies then is no repair.
func (c *copies) unwatch(now time.Duration) {
	c.watching = false
	for i := range c.levels {
		c.levels[i].add(0, now)
	}
	for rec := range c.of {
		c.of[rec].watched = false
	}
	slices.Sort(c.repairs)
}

// low returns how many of the records watched have fewer copies than they should.
func (c *copies) low() int {
	n := 0
	for _, l := range c.levels[:min(c.want, len(c.levels))] {
		n += l.records
	}
	return n
}

// moment returns the mean and the least number of copies of the records watched.
func (c *copies) moment() (mean float64, least int) {
	sum, records := 0, 0
	for n, l := range c.levels {
		if l.records > 0 && records == 0 {
			least = n
		}
		sum, records = sum+n*l.records, records+l.records
	}
	return over(float64(sum), float64(records)), least
}

// shares returns the share of its time that a record had so many copies, by their
// number, after unwatch.
func (c *copies) shares() []float64 {
	all := 0.0
	for _, l := range c.levels {
		all += l.time
	}
	out := make([]float64, len(c.levels))
	for n, l := range c.levels {
		out[n] = over(l.time, all)
	}
	return out
}

// lost returns the acknowledged records of which no copy is left.
func (c *copies) lost() []int {
	var lost []int
	for rec, r := range c.of {
		if r.acked && r.live == 0 {
			lost = append(lost, rec)
		}
	}
	return lost
}

// obituary tells what became of the last copies of a record.
func (r *copied) obituary() string {
	var ends []string
	for _, f := range r.fates {
		ends = append(ends, fmt.Sprintf("node %d %s after %v", f.node, f.how, f.at.Round(time.Millisecond)))
	}
	return strings.Join(ends, ", ")
}
