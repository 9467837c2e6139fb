package netfault

import (
	"maps"
	"sync"
	"sync/atomic"
)

// Cuts says which of a network's nodes, numbered from zero, cannot reach each
// other. Its zero value cuts none, and its methods may be called from any
// goroutine.
type Cuts struct {
	mu  sync.Mutex // held to replace now
	now atomic.Pointer[cuts]
}

// cuts is immutable once Cuts points to it.
type cuts struct {
	all     bool
	crashed map[int]bool
	group   map[int]int // zero for nodes in no named group
}

// Between reports whether i and j cannot reach each other. It does not block.
func (c *Cuts) Between(i, j int) bool {
	s := c.load()
	return s.all || s.crashed[i] || s.crashed[j] || s.group[i] != s.group[j]
}

// All cuts every node off, for good.
func (c *Cuts) All() { c.change(func(s *cuts) { s.all = true }) }

// Crash cuts i off, or lets it back.
func (c *Cuts) Crash(i int, crashed bool) {
	c.change(func(s *cuts) {
		next := map[int]bool{}
		maps.Copy(next, s.crashed)
		next[i] = crashed
		s.crashed = next
	})
}

// Crashed reports whether i is cut off by Crash.
func (c *Cuts) Crashed(i int) bool { return c.load().crashed[i] }

// Partition cuts between groups, in place of any partition before. Nodes that
// no group names form one of their own; a node named twice is in the last group.
func (c *Cuts) Partition(groups ...[]int) {
	c.change(func(s *cuts) {
		s.group = map[int]int{}
		for g, members := range groups {
			for _, i := range members {
				s.group[i] = g + 1
			}
		}
	})
}

func (c *Cuts) load() *cuts {
	if s := c.now.Load(); s != nil {
		return s
	}
	return new(cuts)
}

func (c *Cuts) change(edit func(*cuts)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	next := *c.load()
	edit(&next)
	c.now.Store(&next)
}
