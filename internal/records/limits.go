package records

import "fmt"

// Limits bound what a Store holds. Zero means unbounded. Each is counted when it
// bites, see [Limited].
type Limits struct {
	// Records is how many records there may be in all.
	Records int
	// Bytes is how large all rows in the datastore may be together, those of
	// addresses included and the keys of rows left out.
	Bytes int64
	// PerKey is how many providers of one multihash there may be. Those that
	// expire last stay; who provides what spills over is not told so.
	PerKey int
	// PerPeer is how many of the records may be signed by one peer.
	PerPeer int
	// Record is how many bytes of data one record may have.
	Record int
	// Addrs is how many addresses one peer record may have.
	Addrs int
}

// checkData reports data that is longer than one record's may be. The error
// wraps [ErrTooLarge].
func (l Limits) checkData(data []byte) error {
	if l.Record > 0 && len(data) > l.Record {
		return fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(data), l.Record)
	}
	return nil
}

// checkAddresses reports a peer record with no address or too many. The error
// wraps [ErrUnaddressed] or [ErrTooLarge].
func (l Limits) checkAddresses(a *Addresses) error {
	switch {
	case a == nil || len(a.Addrs) == 0:
		return ErrUnaddressed
	case l.Addrs > 0 && len(a.Addrs) > l.Addrs:
		return fmt.Errorf("%w: %d addresses of %s, at most %d", ErrTooLarge, len(a.Addrs), a.Peer, l.Addrs)
	}
	return nil
}
