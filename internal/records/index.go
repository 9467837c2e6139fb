package records

import (
	"math"

	"github.com/secondbit/pastry/ring"
)

// Entry is what an Index knows of a record.
type Entry struct {
	ID      ID
	Version uint64
	Expires int64  // Unix time in milliseconds
	Size    uint32 // in bytes; the index only keeps it, and Tag
	Tag     uint32 // of meaning to the owner of the index
}

// Item returns the part of e that two members compare.
func (e Entry) Item() Item { return Item{ID: e.ID, Version: e.Version} }

// Index is the ordered set of the records that a member holds. Put, Delete, Get
// and the summary of any arc take time logarithmic in the number of records,
// whatever their IDs. It takes 112 bytes a record and does not shrink. The zero
// value is empty and ready. An Index is not safe for concurrent use, and must not
// be changed by the functions its methods call.
type Index struct {
	// A tree balanced by weight (Nievergelt and Reingold, 1973; with the
	// parameters of Hirai and Yamamoto, 2011). Unlike the priorities of a treap,
	// weights cannot be chosen by whoever picks the keys.
	chunks [][]indexNode
	root   nodeRef
	free   nodeRef // the first of a list linked by left
	used   nodeRef // the largest ever given out
}

// nodeRef names a node by its place; 0 is no node. Nodes hold no pointers, so
// that the garbage collector need not look at them.
type nodeRef uint32

type indexNode struct {
	Entry
	left, right nodeRef
	count       uint32
	print       ring.ID // fingerprint of this record alone
	sum         ring.ID // of the fingerprints in the subtree
	soonest     int64   // the least Expires in the subtree
}

const (
	chunkBits    = 9
	chunkSize    = 1 << chunkBits
	balanceRatio = 3 // a side weighs at most so many times the other
	singleRatio  = 2 // beyond this, one rotation does not restore the balance
)

// Put adds a record, or replaces and returns the one of the same ID.
func (x *Index) Put(e Entry) (old Entry, replaced bool) {
	print := e.Item().Fingerprint()
	x.root = x.put(x.root, e, print, &old, &replaced)
	return old, replaced
}

// Get returns the record of an ID.
func (x *Index) Get(id ID) (Entry, bool) {
	for i := x.root; i != 0; {
		n := x.node(i)
		c := id.Compare(n.ID)
		if c == 0 {
			return n.Entry, true
		}
		i = n.child(c)
	}
	return Entry{}, false
}

// Delete removes the record of an ID and reports whether there was one.
func (x *Index) Delete(id ID) bool {
	if _, ok := x.Get(id); !ok {
		return false
	}
	x.root = x.remove(x.root, id)
	return true
}

// Len returns the number of records.
func (x *Index) Len() int { return int(x.count(x.root)) }

// Summary returns the summary of the records in an arc.
func (x *Index) Summary(a Arc) Summary {
	to, from := x.before(a.Last, true), x.before(a.First, false)
	s := Summary{Sum: to.Sum.Sub(from.Sum), Count: to.Count - from.Count}
	if a.wraps() && x.root != 0 {
		all := x.node(x.root)
		s.Sum, s.Count = s.Sum.Add(all.sum), s.Count+int(all.count)
	}
	return s
}

// Ascend calls f for the records in an arc, going up from its first key, until f
// returns false.
func (x *Index) Ascend(a Arc, f func(Entry) bool) {
	if !a.wraps() {
		x.ascend(x.root, a.First, a.Last, f)
	} else if x.ascend(x.root, a.First, WholeRing.Last, f) {
		x.ascend(x.root, WholeRing.First, a.Last, f)
	}
}

// First returns the first record in an arc, going up from its first key.
func (x *Index) First(a Arc) (first Entry, ok bool) {
	x.Ascend(a, func(e Entry) bool {
		first, ok = e, true
		return false
	})
	return first, ok
}

// Expired calls f for the records that expire at or before a Unix time in
// milliseconds, in the order of their IDs, until f returns false.
func (x *Index) Expired(ms int64, f func(Entry) bool) { x.expired(x.root, ms, f) }

// Head returns the part of an arc up to the key of the record that is the n-th
// in it, all of the arc if it has fewer.
func (x *Index) Head(a Arc, n int) Arc {
	if n > 0 && x.Summary(a).Count > n {
		a.Last = x.at((x.before(a.First, false).Count + n - 1) % x.Len()).ID.Key
	}
	return a
}

// Split returns at most so many arcs that make up a, in order, and hold about
// as many records each. An arc of several keys with at least two records comes
// back as at least two arcs, if parts is at least two.
func (x *Index) Split(a Arc, parts int) []Arc {
	count, rank := x.Summary(a).Count, x.before(a.First, false).Count
	var arcs []Arc
	start, length := ring.ID{}, ring.Clockwise(a.First, a.Last) // offsets from a.First
	for i := 1; i < parts && count > 0; i++ {
		key := x.at((rank + i*count/parts) % x.Len()).ID.Key
		cut := ring.Clockwise(a.First, key)
		if cut == start {
			// Nothing lies between: the part is this one key.
			cut = after(cut)
		}
		if start.Less(cut) && !length.Less(cut) {
			arcs = append(arcs, Arc{First: a.First.Add(start), Last: prior(a.First.Add(cut))})
			start = cut
		}
	}
	return append(arcs, Arc{First: a.First.Add(start), Last: a.Last})
}

func (x *Index) node(i nodeRef) *indexNode { return &x.chunks[i>>chunkBits][i&(chunkSize-1)] }

func (x *Index) count(i nodeRef) uint32 {
	if i == 0 {
		return 0
	}
	return x.node(i).count
}

// child returns the side on which an ID lies that compares to that of n as c.
func (n *indexNode) child(c int) nodeRef {
	if c < 0 {
		return n.left
	}
	return n.right
}

// before returns the summary of the records with keys below key or, if
// inclusive, up to it.
func (x *Index) before(key ring.ID, inclusive bool) (s Summary) {
	for i := x.root; i != 0; {
		n := x.node(i)
		if c := n.ID.Key.Compare(key); c > 0 || c == 0 && !inclusive {
			i = n.left
			continue
		}
		s.Sum, s.Count = s.Sum.Add(n.print), s.Count+1
		if n.left != 0 {
			l := x.node(n.left)
			s.Sum, s.Count = s.Sum.Add(l.sum), s.Count+int(l.count)
		}
		i = n.right
	}
	return s
}

// at returns the record with so many before it in the order of IDs; there must
// be one.
func (x *Index) at(rank int) Entry {
	for i := x.root; ; {
		n := x.node(i)
		left := int(x.count(n.left))
		switch {
		case rank == left:
			return n.Entry
		case rank < left:
			i = n.left
		default:
			i, rank = n.right, rank-left-1
		}
	}
}

func (x *Index) ascend(i nodeRef, first, last ring.ID, f func(Entry) bool) bool {
	if i == 0 {
		return true
	}
	n := x.node(i)
	above, below := !n.ID.Key.Less(first), !last.Less(n.ID.Key)
	if above && !x.ascend(n.left, first, last, f) {
		return false
	}
	if above && below && !f(n.Entry) {
		return false
	}
	return !below || x.ascend(n.right, first, last, f)
}

func (x *Index) expired(i nodeRef, ms int64, f func(Entry) bool) bool {
	if i == 0 {
		return true
	}
	n := x.node(i)
	if n.soonest > ms {
		return true
	}
	if !x.expired(n.left, ms, f) || n.Expires <= ms && !f(n.Entry) {
		return false
	}
	return x.expired(n.right, ms, f)
}

func (x *Index) put(i nodeRef, e Entry, print ring.ID, old *Entry, replaced *bool) nodeRef {
	if i == 0 {
		return x.alloc(indexNode{Entry: e, count: 1, print: print, sum: print, soonest: e.Expires})
	}
	n := x.node(i) // nodes stay where they are
	switch c := e.ID.Compare(n.ID); {
	case c < 0:
		n.left = x.put(n.left, e, print, old, replaced)
	case c > 0:
		n.right = x.put(n.right, e, print, old, replaced)
	default:
		*old, *replaced = n.Entry, true
		n.Entry, n.print = e, print
	}
	return x.balance(i)
}

// remove removes an ID that is in the subtree.
func (x *Index) remove(i nodeRef, id ID) nodeRef {
	n := x.node(i)
	switch c := id.Compare(n.ID); {
	case c < 0:
		n.left = x.remove(n.left, id)
	case c > 0:
		n.right = x.remove(n.right, id)
	case n.left == 0 || n.right == 0:
		rest := n.left + n.right
		x.release(i)
		return rest
	default:
		next := n.right
		for x.node(next).left != 0 {
			next = x.node(next).left
		}
		n.Entry, n.print = x.node(next).Entry, x.node(next).print
		n.right = x.remove(n.right, n.ID)
	}
	return x.balance(i)
}

// balance restores the balance of a subtree of which one side has gained or lost
// one record, brings what its root says of it up to date, and returns the root.
func (x *Index) balance(i nodeRef) nodeRef {
	n := x.node(i)
	left, right := x.count(n.left)+1, x.count(n.right)+1
	switch {
	case right > balanceRatio*left:
		r := x.node(n.right)
		if x.count(r.left)+1 >= singleRatio*(x.count(r.right)+1) {
			n.right = x.rotateRight(n.right)
		}
		return x.rotateLeft(i)
	case left > balanceRatio*right:
		l := x.node(n.left)
		if x.count(l.right)+1 >= singleRatio*(x.count(l.left)+1) {
			n.left = x.rotateLeft(n.left)
		}
		return x.rotateRight(i)
	}
	x.update(n)
	return i
}

func (x *Index) rotateLeft(i nodeRef) nodeRef {
	n := x.node(i)
	top := n.right
	t := x.node(top)
	n.right, t.left = t.left, i
	x.update(n)
	x.update(t)
	return top
}

func (x *Index) rotateRight(i nodeRef) nodeRef {
	n := x.node(i)
	top := n.left
	t := x.node(top)
	n.left, t.right = t.right, i
	x.update(n)
	x.update(t)
	return top
}

// update brings what n says of its subtree up to date.
func (x *Index) update(n *indexNode) {
	n.count, n.sum, n.soonest = 1, n.print, n.Expires
	for _, c := range [2]nodeRef{n.left, n.right} {
		if c != 0 {
			child := x.node(c)
			n.count, n.sum, n.soonest = n.count+child.count, n.sum.Add(child.sum), min(n.soonest, child.soonest)
		}
	}
}

func (x *Index) alloc(n indexNode) nodeRef {
	i := x.free
	if i != 0 {
		x.free = x.node(i).left
	} else {
		if x.used == math.MaxUint32 {
			panic("records: more than 2^32 records")
		}
		x.used++
		i = x.used
		if int(i>>chunkBits) >= len(x.chunks) {
			x.chunks = append(x.chunks, make([]indexNode, chunkSize))
		}
	}
	*x.node(i) = n
	return i
}

func (x *Index) release(i nodeRef) {
	*x.node(i) = indexNode{left: x.free}
	x.free = i
}
