package records

import "errors"

// Stats is what a store holds and what it has done since it was opened.
type Stats struct {
	Providers, Values, Peers int   // records held, expired ones included
	Addressed                int   // peers whose addresses are held beside their provider records
	Bytes                    int64 // of all rows, see Limits.Bytes

	Stored     uint64 // records that were new or replaced another
	Dropped    uint64 // by Drop
	Expired    uint64 // forgotten since they had expired
	Spilled    uint64 // provider records dropped for others of the same multihash, see Limits.PerKey
	Unreadable uint64 // rows lost in the datastore, or damaged, or without the addresses they need
	Commits    uint64 // writes of the datastore, each of one or more calls
	Failures   uint64 // writes that failed

	Refused Refused
	Limited Limited
}

// Refused counts the records that Put refused, by reason.
type Refused struct{ Expired, Stale, Invalid, TooLarge, Unaddressed, Full uint64 }

// Limited counts how often each of the Limits has bitten.
type Limited struct{ Records, Bytes, PerKey, PerPeer, Record, Addrs uint64 }

// count adds one to the reason that err is.
func (r *Refused) count(err error) {
	for _, reason := range []struct {
		err   error
		count *uint64
	}{
		{ErrExpired, &r.Expired},
		{ErrStale, &r.Stale},
		{ErrInvalid, &r.Invalid},
		{ErrTooLarge, &r.TooLarge},
		{ErrUnaddressed, &r.Unaddressed},
		{ErrFull, &r.Full},
	} {
		if errors.Is(err, reason.err) {
			*reason.count++
			return
		}
	}
}

func (r *Refused) add(x Refused) {
	r.Expired += x.Expired
	r.Stale += x.Stale
	r.Invalid += x.Invalid
	r.TooLarge += x.TooLarge
	r.Unaddressed += x.Unaddressed
	r.Full += x.Full
}

func (l *Limited) add(x Limited) {
	l.Records += x.Records
	l.Bytes += x.Bytes
	l.PerKey += x.PerKey
	l.PerPeer += x.PerPeer
	l.Record += x.Record
	l.Addrs += x.Addrs
}

// records returns how many records of all types are held.
func (s *Stats) records() int { return s.Providers + s.Values + s.Peers }

// held returns the number of records of a type.
func (s *Stats) held(t Type) *int {
	switch t {
	case TypeProvider:
		return &s.Providers
	case TypeValue:
		return &s.Values
	}
	return &s.Peers
}

// removed returns the count of records removed for a cause.
func (s *Stats) removed(c cause) *uint64 {
	return [...]*uint64{causeDrop: &s.Dropped, causeExpiry: &s.Expired, causeSpill: &s.Spilled, causeLoss: &s.Unreadable}[c]
}

// cause is why a record is removed.
type cause uint8

const (
	causeDrop cause = iota
	causeExpiry
	causeSpill
	causeLoss
)
