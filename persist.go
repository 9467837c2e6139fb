package pastry

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	ds "github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/namespace"
	"github.com/libp2p/go-libp2p/core/protocol"
	"google.golang.org/protobuf/proto"

	"github.com/secondbit/pastry/pb"
)

const (
	saveSoon    = 50 * time.Millisecond // between the first two saves; doubles
	saveDelay   = 2 * time.Second       // between two saves at the most
	saveTimeout = 10 * time.Second
	maxSaved    = 128 // contacts
)

var (
	epochKey    = ds.NewKey("epoch")
	contactsKey = ds.NewKey("contacts")
)

// contactStore keeps in a datastore what a restarted node needs to rejoin: the
// contacts it knew, and its epoch, which must grow even when the clock went
// back.
type contactStore struct {
	store ds.Batching
	book  *contactBook
	dirty chan struct{}
	done  chan struct{} // closed when all is saved that will be

	mu   sync.Mutex // guards last
	last error
}

func newContactStore(store ds.Batching, p protocol.ID, book *contactBook) *contactStore {
	prefix := ds.NewKey("/pastry").ChildString(string(p))
	return &contactStore{store: namespace.Wrap(store, prefix), book: book,
		dirty: make(chan struct{}, 1), done: make(chan struct{})}
}

// nextEpoch returns an epoch larger than any used before, now if it is, and
// keeps it.
func (s *contactStore) nextEpoch(ctx context.Context, now uint64) (uint64, error) {
	b, err := s.store.Get(ctx, epochKey)
	switch {
	case err == nil && len(b) == 8:
		now = max(now, binary.BigEndian.Uint64(b)+1)
	case err != nil && !errors.Is(err, ds.ErrNotFound):
		return 0, fmt.Errorf("pastry: read the datastore: %w", err)
	}
	if err := s.store.Put(ctx, epochKey, binary.BigEndian.AppendUint64(nil, now)); err != nil {
		return 0, fmt.Errorf("pastry: write the datastore: %w", err)
	}
	if err := s.store.Sync(ctx, epochKey); err != nil {
		return 0, fmt.Errorf("pastry: write the datastore: %w", err)
	}
	return now, nil
}

// load returns the contacts saved, leaving out those that do not verify.
func (s *contactStore) load(ctx context.Context) ([]*Contact, error) {
	b, err := s.store.Get(ctx, contactsKey)
	if errors.Is(err, ds.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var saved pb.Contacts
	if err := proto.Unmarshal(b, &saved); err != nil {
		return nil, err
	}
	var cs []*Contact
	for _, m := range saved.Contacts {
		if c, err := s.book.contact(m); err == nil && !c.Client {
			cs = append(cs, c)
		}
	}
	return cs, nil
}

// save replaces the contacts saved. None does not overwrite some: a node that
// lost everybody still wants to find them again.
func (s *contactStore) save(ctx context.Context, cs []*Contact) error {
	if len(cs) == 0 {
		return nil
	}
	b, err := proto.Marshal(&pb.Contacts{Contacts: encodeContacts(cs[:min(len(cs), maxSaved)])})
	if err != nil {
		return err
	}
	if err := s.store.Put(ctx, contactsKey, b); err != nil {
		return err
	}
	return s.store.Sync(ctx, contactsKey)
}

// changed notes that there is something new to save.
func (s *contactStore) changed() {
	select {
	case s.dirty <- struct{}{}:
	default:
	}
}

// err returns the error of the last save.
func (s *contactStore) err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

// keepContacts saves the contacts when they change, so that a killed node finds
// them: at once, as others trust the node with records as soon as it has joined,
// and less and less often while they go on changing. It ends with those the node
// knows when it is closed.
func (n *Node) keepContacts() {
	defer close(n.disk.done)
	var last time.Time
	pause := saveSoon
	for {
		select {
		case <-n.disk.dirty:
		case <-n.closed:
			n.saveContacts()
			return
		}
		if time.Since(last) > 2*saveDelay {
			pause = saveSoon
		}
		n.saveContacts()
		last = time.Now()
		wait := time.NewTimer(pause)
		select {
		case <-wait.C:
		case <-n.closed:
			wait.Stop()
		}
		pause = min(2*pause, saveDelay)
	}
}

func (n *Node) saveContacts() {
	var cs []*Contact
	if err := n.do(n.ctx, func(r *RawNode) {
		cs = r.Table().AppendAll(r.Leaves().AppendMembers(nil))
	}); err != nil {
		return
	}
	// The store may need the caller's patience even while the node closes.
	ctx, cancel := context.WithTimeout(context.Background(), saveTimeout)
	defer cancel()
	err := n.disk.save(ctx, cs)
	n.disk.mu.Lock()
	n.disk.last = err
	n.disk.mu.Unlock()
	if err != nil {
		n.events.post(EvtError{Err: fmt.Errorf("pastry: save contacts: %w", err)})
	}
}
