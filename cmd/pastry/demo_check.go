package main

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"time"
)

// checked is what came of one check of messages and files.
type checked struct {
	delivered    []bool // by message: once, at the true root
	hops         int    // of all messages delivered
	messageTimes []time.Duration

	found       map[*file]bool // those looked for: found by each that looked
	lookupTimes []time.Duration
}

// deliveredCount returns how many messages were delivered as they should be.
func (c *checked) deliveredCount() int { return countTrue(slices.Values(c.delivered)) }

// foundCount returns how many files were found as they should be.
func (c *checked) foundCount() int { return countTrue(maps.Values(c.found)) }

func countTrue(oks iter.Seq[bool]) int {
	n := 0
	for ok := range oks {
		if ok {
			n++
		}
	}
	return n
}

// meanHops returns the mean over the messages delivered, to three decimals.
func (c *checked) meanHops() float64 {
	mean := float64(c.hops) / float64(max(len(c.messageTimes), 1))
	return math.Round(mean*1000) / 1000
}

// inBoth counts what succeeded in two checks of the same messages and files.
func inBoth(a, b *checked) (delivered, found int) {
	for i, ok := range a.delivered {
		if ok && b.delivered[i] {
			delivered++
		}
	}
	for f, ok := range a.found {
		if ok && b.found[f] {
			found++
		}
	}
	return delivered, found
}

// String tells in a line what came of the check.
func (c *checked) String() string {
	var parts []string
	if n := len(c.delivered); n > 0 {
		parts = append(parts, fmt.Sprintf("%d of %d messages delivered at the root (p99 %.1f ms)",
			c.deliveredCount(), n, ms(quantile(c.messageTimes, 0.99))))
	}
	if n := len(c.found); n > 0 {
		parts = append(parts, fmt.Sprintf("%d of %d files found (p99 %.1f ms)", c.foundCount(), n, ms(quantile(c.lookupTimes, 0.99))))
	}
	return cmp.Or(strings.Join(parts, ", "), "nothing to check")
}

// check sends the messages and looks for the files, both at the same time, and
// judges what came back.
func (d *demo) check(ctx context.Context, name string, messages []*message, lookups []*lookup) *checked {
	d.steps.begin(name, len(messages)+len(lookups))
	var wg sync.WaitGroup
	wg.Go(func() {
		inParallel(ctx, d.concurrency, len(messages), func(i int) {
			messages[i].send(ctx, d.messageTimeout)
			d.steps.add()
		})
	})
	inParallel(ctx, d.concurrency, len(lookups), func(i int) {
		lookups[i].search(ctx, d.fileTimeout)
		d.steps.add()
	})
	wg.Wait()
	c := &checked{found: make(map[*file]bool)}
	if ctx.Err() == nil {
		d.judgeMessages(c, messages)
		d.judgeLookups(c, lookups)
	}
	d.steps.end("%s", c)
	return c
}

func (d *demo) judgeMessages(c *checked, messages []*message) {
	c.delivered = make([]bool, len(messages))
	for i, m := range messages {
		if err := m.judge(d.ledger.deliveries(m.payload)); err != nil {
			d.report.lose("%v", err)
			continue
		}
		c.delivered[i] = true
		c.hops += m.receipt.Hops
		c.messageTimes = append(c.messageTimes, m.took)
	}
	slices.Sort(c.messageTimes)
}

func (d *demo) judgeLookups(c *checked, lookups []*lookup) {
	for _, l := range lookups {
		before, seen := c.found[l.file]
		c.found[l.file] = l.found && (before || !seen)
		if l.found {
			c.lookupTimes = append(c.lookupTimes, l.took)
		} else {
			d.report.lose("%v", l.fault())
		}
	}
	slices.Sort(c.lookupTimes)
}

// inParallel calls f for each of n numbers, at most width at a time, and
// returns when all have returned. It starts no more when ctx has ended.
func inParallel(ctx context.Context, width, n int, f func(i int)) {
	next := make(chan int)
	var wg sync.WaitGroup
	for range min(width, n) {
		wg.Go(func() {
			for i := range next {
				f(i)
			}
		})
	}
	for i := 0; i < n && ctx.Err() == nil; i++ {
		next <- i
	}
	close(next)
	wg.Wait()
}
