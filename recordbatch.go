package pastry

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/secondbit/pastry/internal/records"
	"github.com/secondbit/pastry/pb"
)

// packer fills one call or reply with records and, once each, the peer records
// of the providers among them.
type packer struct {
	room    int
	records []*pb.Record
	peers   [][]byte
	named   map[peer.ID]bool
}

func newPacker(room int) *packer { return &packer{room: room, named: make(map[peer.ID]bool)} }

// overheadPacked is more than a record takes beside its bytes.
const overheadPacked = 32

// add reports whether there was room for a record and, if it is not nil, the
// peer record beside it.
func (p *packer) add(r *records.Record, a *records.Addresses) bool {
	size := len(r.Data) + overheadPacked
	if r.Type == records.TypeValue {
		size += len(r.Name)
	}
	fresh := a != nil && !p.named[a.Peer]
	if fresh {
		size += len(a.Sealed) + overheadPacked
	}
	if size > p.room {
		return false
	}
	p.room -= size
	p.records = append(p.records, r.Encode())
	if fresh {
		p.named[a.Peer] = true
		p.peers = append(p.peers, a.Sealed)
	}
	return true
}

// pack adds records with the addresses of their providers to p, as many as fit,
// and returns how many did.
func (k *keeper) pack(ctx context.Context, p *packer, rs []*records.Record) (int, error) {
	addrs, err := k.addressesOf(ctx, rs)
	if err != nil {
		return 0, err
	}
	for i, r := range rs {
		if !p.add(r, addrs[r.Peer]) {
			return i, nil
		}
	}
	return len(rs), nil
}

// addressesOf returns the peer records held of those that provide.
func (k *keeper) addressesOf(ctx context.Context, rs []*records.Record) (map[peer.ID]*records.Addresses, error) {
	out := make(map[peer.ID]*records.Addresses)
	var ps []peer.ID
	for _, r := range rs {
		if _, seen := out[r.Peer]; r.Type == records.TypeProvider && !seen {
			out[r.Peer] = nil
			ps = append(ps, r.Peer)
		}
	}
	as, err := k.held.Addresses(ctx, ps)
	for _, a := range as {
		out[a.Peer] = a
	}
	return out, err
}

// inParallel calls f for 0 to n-1, on all processors when there is much to do.
func inParallel(n int, f func(i int)) {
	const each = 16 // calls worth another goroutine
	workers := min(runtime.GOMAXPROCS(0), (n+each-1)/each)
	if workers <= 1 {
		for i := range n {
			f(i)
		}
		return
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				f(i)
			}
		})
	}
	wg.Wait()
}

// idsBefore returns how many of some IDs come before one of them.
func idsBefore(ids []records.ID, id records.ID) int {
	for i, x := range ids {
		if x == id {
			return i
		}
	}
	return len(ids)
}

// decodeIDs reads the IDs of a FetchCall.
func decodeIDs(b []byte) ([]records.ID, error) {
	if len(b)%records.IDSize != 0 || len(b) > maxFetched*records.IDSize {
		return nil, fmt.Errorf("%w: %d bytes of record IDs", ErrMalformed, len(b))
	}
	ids := make([]records.ID, 0, len(b)/records.IDSize)
	for ; len(b) > 0; b = b[records.IDSize:] {
		id, err := records.IDFromBytes(b[:records.IDSize])
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
		}
		ids = append(ids, id)
	}
	return ids, nil
}
