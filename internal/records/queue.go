package records

import (
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// maxGroup is how many records are written to the datastore at once; a single
// request may have as many.
const maxGroup = 2048

// request is what a caller wants the writer to do. The writer alone changes it
// until it closes done.
type request struct {
	now   time.Time
	rows  []*row
	peers []*Addresses
	where map[peer.ID]*Addresses // the newest of each peer, with at least one address
	drop  []Item
	cause cause // of drop

	errs    []error // one for each row
	err     error   // of drop
	dropped int     // how many of drop were held
	done    chan struct{}
}

// queue holds requests until the writer takes them.
type queue struct {
	mu      sync.Mutex // guards what follows
	waiting []*request
	closed  bool

	wake chan struct{} // has an element when there may be something new
}

// post adds a request. It reports false when the queue is closed.
func (q *queue) post(r *request) bool {
	q.mu.Lock()
	ok := !q.closed
	if ok {
		q.waiting = append(q.waiting, r)
	}
	q.mu.Unlock()
	q.signal()
	return ok
}

// close refuses requests from now on.
func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.signal()
}

func (q *queue) isClosed() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.closed
}

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// take removes requests of up to maxGroup records, or a single one. It waits for
// one and reports false when there is none and never will be.
func (q *queue) take() ([]*request, bool) {
	for {
		q.mu.Lock()
		n, size := 0, 0
		for _, r := range q.waiting {
			if size += len(r.rows) + len(r.drop); n > 0 && size > maxGroup {
				break
			}
			n++
		}
		group, closed := q.waiting[:n:n], q.closed
		if q.waiting = q.waiting[n:]; len(q.waiting) == 0 {
			q.waiting = nil
		}
		q.mu.Unlock()
		if n > 0 || closed {
			return group, n > 0
		}
		<-q.wake
	}
}
