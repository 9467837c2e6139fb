package ring

// View is what a node sees of the ring: members without a gap between them.
type View struct {
	IDs   []ID // going up the ring, each once
	Whole bool // they are all members of the ring
}

// Index returns the place of a member in the view, or -1.
func (v View) Index(member ID) int {
	for i, id := range v.IDs {
		if id == member {
			return i
		}
	}
	return -1
}

// AppendReplicas appends the places of the k members closest to key, closest
// first, all members if they are fewer than k. It reports false, and appends
// nothing, when a member beyond the view could be among them.
func (v View) AppendReplicas(to []int, key ID, k int) ([]int, bool) {
	n := len(v.IDs)
	if v.Whole {
		k = min(k, n)
	}
	up, ok := v.above(key)
	if !ok || k > n {
		return to, false
	}
	// The members on either side of the key are next in turn: up going up from
	// it, down going down.
	down := up - 1
	for end := len(to) + k; len(to) < end; {
		if v.Whole {
			up, down = up%n, (down+n)%n
		}
		if down < 0 || up < n && CompareDistance(key, v.IDs[up], v.IDs[down]) <= 0 {
			to, up = append(to, up), up+1
		} else {
			to, down = append(to, down), down-1
		}
	}
	if k <= 0 || v.Whole {
		return to, true
	}
	reach := Distance(key, v.IDs[to[len(to)-1]])
	if reach.Compare(Clockwise(v.IDs[0], key)) > 0 || reach.Compare(Clockwise(key, v.IDs[n-1])) > 0 {
		return to[:len(to)-k], false
	}
	return to, true
}

// above returns the place of the first member at key or going up from it; that
// of the end of the view is len(v.IDs). It reports false when key is beyond a
// view that is not of the whole ring.
func (v View) above(key ID) (int, bool) {
	n := len(v.IDs)
	if n == 0 {
		return 0, false
	}
	from := Clockwise(v.IDs[0], key)
	lo, hi := 0, n
	for lo < hi {
		if mid := (lo + hi) / 2; Clockwise(v.IDs[0], v.IDs[mid]).Compare(from) < 0 {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo, v.Whole || lo < n
}

// Range returns the arc of keys, going up from first to last, both included,
// for which the member at a place is among the rank+1 closest. It reports false
// when the view does not show that. When all members are at most rank+1, the arc
// is the whole ring and last comes right before first.
func (v View) Range(place, rank int) (first, last ID, ok bool) {
	n := len(v.IDs)
	if place < 0 || place >= n || rank < 0 {
		return first, last, false
	}
	member, one := v.IDs[place], ID{lo: 1}
	if v.Whole && n <= rank+1 {
		return member, member.Sub(one), true
	}
	above, below := place+rank+1, place-rank-1
	if v.Whole {
		above, below = above%n, (below+n)%n
	} else if below < 0 || above >= n {
		return first, last, false
	}
	// The member loses a key when rank+1 others are closer: beyond the middle
	// between it and the member rank+1 places away.
	last = member.Add(Clockwise(member, v.IDs[above]).Half())
	if !Closer(last, member, v.IDs[above]) {
		last = last.Sub(one)
	}
	first = member.Sub(Clockwise(v.IDs[below], member).Half())
	if !Closer(first, member, v.IDs[below]) {
		first = first.Add(one)
	}
	return first, last, true
}
