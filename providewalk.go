package pastry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"google.golang.org/protobuf/proto"

	"github.com/secondbit/pastry/internal/records"
	"github.com/secondbit/pastry/pb"
	"github.com/secondbit/pastry/ring"
)

const (
	provideWalkers = 8         // of one walk at once
	provideShare   = 16        // items worth another walker
	provideBatch   = 256 << 10 // bytes of records in one message
	provideLeast   = 16 << 10  // the same, after messages got lost
	provideFirst   = 32        // records in a message to a member of unknown view
	provideLost    = 3         // batches in a row after which a walker gives up
)

// errTooFew is why a record is not stored that nobody refused.
var errTooFew = errors.New("too few members that should hold it can be reached")

// provideReport is told what became of items: nil, or why they were not stored. It
// is called from several goroutines and does not keep the items.
type provideReport func(items []provideItem, err error)

// provideWalk takes records along the ring. The members whose views they pass
// store them on their replica sets.
type provideWalk struct {
	n      *Node
	report provideReport
	each   int // bytes of a sealed record, beside its multihash

	mu    sync.Mutex // guards what follows
	known bool
	reach ring.ID // how far, going up from a key, its root saw replica sets of late
}

// provideWalk announces items, which are in ring order and each once, and reports
// each once. It returns early, with the rest reported as failed, when ctx ends or
// the node can do nothing.
func (n *Node) provideWalk(ctx context.Context, items []provideItem, report provideReport) {
	if len(items) == 0 {
		return
	}
	w := &provideWalk{n: n, report: report}
	sealed, err := n.providerRecord(items[0].mh).Seal(n.signer.key)
	if err != nil {
		w.fail(items, err)
		return
	}
	w.each = len(sealed) - len(items[0].mh) + overheadPacked
	walkers := min(provideWalkers, (len(items)+provideShare-1)/provideShare)
	var wg sync.WaitGroup
	for i := range walkers {
		part := items[i*len(items)/walkers : (i+1)*len(items)/walkers]
		wg.Go(func() { w.walk(ctx, part) })
	}
	wg.Wait()
}

// walk announces the items of an arc.
func (w *provideWalk) walk(ctx context.Context, items []provideItem) {
	size, failures, lost := provideBatch, 0, 0
	for len(items) > 0 {
		batch := items[:w.cut(items, size)]
		reply, err := w.send(ctx, batch)
		if err == nil {
			var again []provideItem
			if again, err = w.settle(batch, reply); err == nil {
				items = rejoin(items, len(batch), again)
				size, failures, lost = min(2*size, provideBatch), 0, 0
				err = w.rest(ctx, again)
			}
		}
		switch {
		case err == nil:
			continue
		case w.hopeless(ctx, err):
			w.fail(items, err)
			return
		}
		size = max(size/2, provideLeast)
		if failures++; failures < askTries {
			_ = w.n.pause(ctx, askPause<<failures) // what ends it makes the rest hopeless
			continue
		}
		w.fail(batch, err)
		items, failures = items[len(batch):], 0
		if lost++; lost == provideLost {
			w.fail(items, err)
			return
		}
	}
}

// rejoin puts those of the first count items that must be sent again before the
// rest.
func rejoin(items []provideItem, count int, again []provideItem) []provideItem {
	start := count - len(again)
	copy(items[start:count], again)
	return items[start:]
}

// hopeless reports whether nothing can be sent after err.
func (w *provideWalk) hopeless(ctx context.Context, err error) bool {
	return ctx.Err() != nil || errors.Is(err, ErrClosed) || w.n.isClosed() || w.n.State() == StateIdle
}

// cut returns how many of the items go into the next message: those that its root
// probably sees, if they fit.
func (w *provideWalk) cut(items []provideItem, size int) int {
	w.mu.Lock()
	known, reach := w.known, w.reach
	w.mu.Unlock()
	count := 0
	for _, i := range items {
		size -= w.each + len(i.mh)
		beyond := known && ring.Clockwise(items[0].key, i.key).Compare(reach) > 0
		if count > 0 && (size < 0 || beyond || !known && count == provideFirst) {
			break
		}
		count++
	}
	return count
}

// learn notes the last key that the root of a key sees.
func (w *provideWalk) learn(key ring.ID, last []byte) {
	to, err := ring.FromBytes(last)
	if err != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	reach := ring.Clockwise(key, to)
	if w.known { // the mean of this one and those before
		reach = w.reach.Half().Add(reach.Half())
	}
	w.known, w.reach = true, reach
}

// send seals the records of a batch and sends them to the root of the first one.
func (w *provideWalk) send(ctx context.Context, batch []provideItem) (*pb.StoreReply, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	call := &pb.StoreCall{Records: make([]*pb.Record, len(batch)), Peers: [][]byte{w.n.self.Load().Record}}
	faults := make([]error, len(batch))
	inParallel(len(batch), func(i int) {
		sealed, err := w.n.providerRecord(batch[i].mh).Seal(w.n.signer.key)
		call.Records[i], faults[i] = &pb.Record{Type: pb.RecordType_RECORD_TYPE_PROVIDER, Data: sealed}, err
	})
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	payload, err := proto.Marshal(storeCall(call))
	if err != nil {
		return nil, err
	}
	w.n.provider.calls.Add(1)
	reply, _, err := w.n.askOnce(ctx, batch[0].key, payload)
	if err != nil {
		return nil, err
	}
	store := reply.GetStore()
	if len(store.GetOutcomes()) != len(batch) {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, errNoBody)
	}
	return store, nil
}

// settle reports what a root has dealt with, and returns what must be sent again,
// in the same order. What the root does not see is for the next one; but it must
// see the first. The error says that it has dealt with nothing; then nothing is
// reported.
func (w *provideWalk) settle(batch []provideItem, reply *pb.StoreReply) (again []provideItem, err error) {
	w.learn(batch[0].key, reply.Last)
	if !slices.ContainsFunc(reply.Outcomes, func(o pb.RecordOutcome) bool { return !retryStore(o) }) {
		return nil, errTooFew
	}
	var stored []provideItem
	for i, item := range batch {
		switch outcome := reply.Outcomes[i]; {
		case outcome == pb.RecordOutcome_RECORD_OUTCOME_OK:
			stored = append(stored, item)
		case outcome == pb.RecordOutcome_RECORD_OUTCOME_ELSEWHERE && i > 0:
			again = append(again, item)
		case !retryStore(outcome):
			w.fail(batch[i:i+1], &refusedError{records.OutcomeError(outcome)})
		case item.tries+1 == askTries:
			w.fail(batch[i:i+1], errTooFew)
		default:
			item.tries++
			again = append(again, item)
		}
	}
	w.done(stored)
	return again, nil
}

// rest waits before the first of some items is sent once more.
func (w *provideWalk) rest(ctx context.Context, again []provideItem) error {
	if len(again) == 0 || again[0].tries == 0 {
		return nil
	}
	return w.n.pause(ctx, askPause<<again[0].tries)
}

func (w *provideWalk) done(items []provideItem) {
	if len(items) > 0 {
		w.n.provider.announced.Add(uint64(len(items)))
		w.report(items, nil)
	}
}

func (w *provideWalk) fail(items []provideItem, err error) {
	if len(items) > 0 {
		w.n.provider.failed.Add(uint64(len(items)))
		w.report(items, err)
	}
}

// refusedError says that the members which should hold a record refuse it: there
// is no point in sending it again soon.
type refusedError struct{ reason error }

func (e *refusedError) Error() string { return e.reason.Error() }

func (e *refusedError) Unwrap() error { return e.reason }
