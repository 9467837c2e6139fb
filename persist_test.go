package pastry

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	ds "github.com/ipfs/go-datastore"
	dssync "github.com/ipfs/go-datastore/sync"
	"google.golang.org/protobuf/proto"

	"github.com/secondbit/pastry/pb"
)

func memoryStore() ds.Batching { return dssync.MutexWrap(ds.NewMapDatastore()) }

// reopened returns what a restarted node makes of a datastore: nothing in
// memory, and an empty contact book.
func reopened(store ds.Batching) *contactStore {
	return newContactStore(store, ProtocolID, newContactBook(16))
}

// TestEpochGrows has the clock stand still, go back and jump between restarts.
func TestEpochGrows(t *testing.T) {
	store := memoryStore()
	var last uint64
	for _, clock := range []uint64{1000, 1000, 999, 0, 1, 5000, 5001, 2000} {
		got, err := reopened(store).nextEpoch(t.Context(), clock)
		if err != nil {
			t.Fatal(err)
		}
		if got <= last || got < clock {
			t.Errorf("epoch is %d after %d with the clock at %d, want it larger than both", got, last, clock)
		}
		last = got
	}
}

func TestEpochOfAnotherProtocol(t *testing.T) {
	store := memoryStore()
	if _, err := reopened(store).nextEpoch(t.Context(), 1000); err != nil {
		t.Fatal(err)
	}
	got, err := newContactStore(store, "/other"+ProtocolID, newContactBook(1)).nextEpoch(t.Context(), 5)
	if err != nil || got != 5 {
		t.Errorf("epoch under another protocol is %d, error %v; want 5: they share nothing", got, err)
	}
}

// TestDamagedEpoch has something else than an epoch be saved.
func TestDamagedEpoch(t *testing.T) {
	store := memoryStore()
	s := reopened(store)
	if err := s.store.Put(t.Context(), epochKey, []byte("x")); err != nil {
		t.Fatal(err)
	}
	if got, err := s.nextEpoch(t.Context(), 7); err != nil || got != 7 {
		t.Errorf("epoch is %d, error %v; want the clock's, 7", got, err)
	}
	if got, err := s.nextEpoch(t.Context(), 1); err != nil || got != 8 {
		t.Errorf("next epoch is %d, error %v; want 8", got, err)
	}
}

func TestContactsSurviveARestart(t *testing.T) {
	store := memoryStore()
	want := wireContacts(t, 5)
	if err := reopened(store).save(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	got, err := reopened(store).load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(got, want, sameWire); diff != "" {
		t.Errorf("contacts changed in the datastore (-got +want):\n%s", diff)
	}
}

func TestNoContactsSaved(t *testing.T) {
	store := memoryStore()
	if got, err := reopened(store).load(t.Context()); len(got) != 0 || err != nil {
		t.Errorf("an empty datastore has %d contacts, error %v; want none", len(got), err)
	}
	if err := reopened(store).save(t.Context(), wireContacts(t, 2)); err != nil {
		t.Fatal(err)
	}
	if err := reopened(store).save(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if got, err := reopened(store).load(t.Context()); len(got) != 2 || err != nil {
		t.Errorf("%d contacts, error %v; want the 2 before: none does not replace some", len(got), err)
	}
}

func TestFewContactsAreSaved(t *testing.T) {
	store := memoryStore()
	var many []*Contact
	for i := range maxSaved + 50 {
		many = append(many, NewContact(PeerID(fmt.Sprint(bookPeer(t, 1), i))))
	}
	s := reopened(store)
	if err := s.save(t.Context(), many); err != nil {
		t.Fatal(err)
	}
	b, err := s.store.Get(t.Context(), contactsKey)
	if err != nil {
		t.Fatal(err)
	}
	var saved pb.Contacts
	if err := proto.Unmarshal(b, &saved); err != nil || len(saved.Contacts) != maxSaved {
		t.Errorf("%d contacts are saved, error %v; want %d", len(saved.Contacts), err, maxSaved)
	}
}

// TestForgedSavedContacts has somebody write to the datastore: what does not
// verify is left out, and so are clients.
func TestForgedSavedContacts(t *testing.T) {
	store := memoryStore()
	s := reopened(store)
	honest, foreign, damaged, client := wireContact(t, 1), wireContact(t, 2), wireContact(t, 3), wireContact(t, 4)
	foreign.Record = honest.Record
	damaged.Record = append([]byte(nil), damaged.Record...)
	damaged.Record[len(damaged.Record)-1]++
	client.Client = true
	if err := s.save(t.Context(), []*Contact{foreign, damaged, client, honest}); err != nil {
		t.Fatal(err)
	}
	got, err := reopened(store).load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(got, []*Contact{honest}, sameWire); diff != "" {
		t.Errorf("contacts loaded are not the honest one alone (-got +want):\n%s", diff)
	}
	if err := s.store.Put(t.Context(), contactsKey, []byte("not contacts")); err != nil {
		t.Fatal(err)
	}
	if got, err := reopened(store).load(t.Context()); err == nil {
		t.Errorf("nonsense in the datastore gave %d contacts and no error", len(got))
	}
}

// brokenStore fails in the operations that have an error.
type brokenStore struct {
	ds.Batching
	get, put, sync error
}

func (b brokenStore) Get(ctx context.Context, k ds.Key) ([]byte, error) {
	if b.get != nil {
		return nil, b.get
	}
	return b.Batching.Get(ctx, k)
}

func (b brokenStore) Put(ctx context.Context, k ds.Key, v []byte) error {
	if b.put != nil {
		return b.put
	}
	return b.Batching.Put(ctx, k, v)
}

func (b brokenStore) Sync(ctx context.Context, k ds.Key) error {
	if b.sync != nil {
		return b.sync
	}
	return b.Batching.Sync(ctx, k)
}

func TestDatastoreErrors(t *testing.T) {
	broken := errors.New("disk on fire")
	for _, tt := range []struct {
		name              string
		store             brokenStore
		epoch, load, save error
	}{
		{"get", brokenStore{get: broken}, broken, broken, nil},
		{"put", brokenStore{put: broken}, broken, nil, broken},
		{"sync", brokenStore{sync: broken}, broken, nil, broken},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.store.Batching = memoryStore()
			s := reopened(tt.store)
			if _, err := s.nextEpoch(t.Context(), 1); !errors.Is(err, tt.epoch) {
				t.Errorf("nextEpoch: error is %v, want %v", err, tt.epoch)
			}
			if _, err := s.load(t.Context()); !errors.Is(err, tt.load) {
				t.Errorf("load: error is %v, want %v", err, tt.load)
			}
			if err := s.save(t.Context(), wireContacts(t, 1)); !errors.Is(err, tt.save) {
				t.Errorf("save: error is %v, want %v", err, tt.save)
			}
		})
	}
}

func TestChangedNeverBlocks(t *testing.T) {
	s := reopened(memoryStore())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 10 {
			s.changed()
		}
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("changed blocks when nobody saves")
	}
	<-s.dirty
	select {
	case <-s.dirty:
		t.Error("several changes ask for several saves, want one")
	default:
	}
}
