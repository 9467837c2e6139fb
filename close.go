package pastry

import (
	"errors"
	"time"
)

// Close leaves the ring: the neighbours are told, calls under way end with
// ErrClosed, whom the node knew is saved, and everything the node started has stopped
// when Close returns, within a few seconds and what the datastore takes. The exception
// is an application that goes on after its context has ended: Close returns an error
// then, and leaves it behind. The host stays open. Close is idempotent, and waits each
// time.
func (n *Node) Close() error {
	first := false
	n.once.Do(func() { first = true })
	if first {
		n.keeper.upkeep.handOver()
		close(n.closed)
		n.post(Input{Kind: InLeave})
		timer := time.NewTimer(closeTimeout)
		defer timer.Stop()
		n.awaitIdle(timer.C)
		n.err = n.shutDown()
		close(n.gone)
	}
	<-n.gone
	return n.err
}

const (
	closeTimeout = 3 * time.Second        // for the neighbours to know
	flushTimeout = 200 * time.Millisecond // for what was said last to be written
)

// awaitIdle waits until the neighbours know that the node leaves.
func (n *Node) awaitIdle(timeout <-chan time.Time) {
	for {
		n.mu.Lock()
		changed := n.changed
		n.mu.Unlock()
		if n.State() == StateIdle {
			return
		}
		select {
		case <-changed:
		case <-timeout:
			return
		}
	}
}

func (n *Node) shutDown() error {
	n.serve(false)
	n.mu.Lock()
	n.ending = true
	n.mu.Unlock()
	n.links.flush(flushTimeout, func(*link) bool { return true })
	<-n.disk.done
	close(n.stop)
	n.cancel()
	for _, l := range n.links.all() {
		l.close(nil)
	}
	n.work.Wait()
	stuck := n.awaitApps()
	n.events.wait()
	n.meter.close()
	n.unprotect()
	return errors.Join(stuck, n.disk.err(), n.keeper.close())
}
