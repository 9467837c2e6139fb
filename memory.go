package pastry

// memory remembers values by message for a while: at most size of them, the
// oldest going first, and each until it expires.
type memory[T any] struct {
	size int
	m    map[MessageID]*T
	fifo []memo[T]
	head int // index of the oldest in fifo
}

// memo is one addition; it means nothing any more when id has another value.
type memo[T any] struct {
	id      MessageID
	v       *T
	expires Time
}

func newMemory[T any](size int) memory[T] {
	return memory[T]{size: size, m: make(map[MessageID]*T)}
}

func (m *memory[T]) get(id MessageID) *T { return m.m[id] }

// add remembers v, until expires at the latest; what was known of id goes.
func (m *memory[T]) add(id MessageID, v *T, expires Time) {
	for len(m.fifo)-m.head >= m.size {
		m.dropOldest()
	}
	m.m[id] = v
	m.fifo = append(m.fifo, memo[T]{id, v, expires})
}

func (m *memory[T]) forget(id MessageID) { delete(m.m, id) }

// expire forgets from the oldest on whatever has expired.
func (m *memory[T]) expire(now Time) {
	for m.head < len(m.fifo) && m.fifo[m.head].expires <= now {
		m.dropOldest()
	}
}

func (m *memory[T]) dropOldest() {
	if old := &m.fifo[m.head]; m.m[old.id] == old.v {
		delete(m.m, old.id)
	}
	m.fifo[m.head] = memo[T]{}
	m.head++
	if m.head > 64 && m.head > len(m.fifo)/2 {
		m.fifo = append(m.fifo[:0], m.fifo[m.head:]...)
		m.head = 0
	}
}

// each calls f for every value, latest first, until f returns false.
func (m *memory[T]) each(f func(MessageID, *T) bool) {
	for i := len(m.fifo) - 1; i >= m.head; i-- {
		if e := m.fifo[i]; m.m[e.id] == e.v && !f(e.id, e.v) {
			return
		}
	}
}
