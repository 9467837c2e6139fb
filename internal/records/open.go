package records

import (
	"fmt"
	"time"

	record "github.com/libp2p/go-libp2p-record"

	"github.com/secondbit/pastry/pb"
)

const (
	// MaxProvider is how long a provider record is held: no longer than this
	// after the time that its sequence number says, nor after its arrival.
	MaxProvider = 48 * time.Hour

	// MaxSkew is how far ahead of this clock the time in a sequence number may
	// be. It is wide, so that a member whose clock is set for another time zone
	// does not refuse all there is; yet a peer whose clock was once years ahead
	// must be able to replace what it then signed.
	MaxSkew = 24 * time.Hour
)

// Opener verifies records that others have sent. It is safe for concurrent use
// if the validator is.
type Opener struct {
	Validator record.Validator // of values; nil refuses all
	Limits    Limits           // of which Record and Addrs matter
}

// Open verifies a record that came over the wire and returns it ready for
// [Store.Put]. It shares memory with m. The error wraps ErrForged, ErrExpired,
// ErrInvalid, ErrTooLarge or ErrUnaddressed.
//
// A provider record expires as it says, but at most MaxProvider after the time
// that its sequence number stands for. A peer record expires MaxPeer after that
// time. Both are forged if that time is more than MaxSkew ahead. A value expires
// as the sender says, but at most MaxValue from now.
func (o *Opener) Open(now time.Time, m *pb.Record) (*Record, error) {
	if err := o.Limits.checkData(m.GetData()); err != nil {
		return nil, err
	}
	r, err := o.open(now, m)
	if err != nil {
		return nil, err
	}
	r.Expires = time.UnixMilli(r.Expires.UnixMilli())
	if !r.Expires.After(now) {
		return nil, fmt.Errorf("%w: at %v", ErrExpired, r.Expires)
	}
	return r, nil
}

func (o *Opener) open(now time.Time, m *pb.Record) (*Record, error) {
	switch m.GetType() {
	case pb.RecordType_RECORD_TYPE_PROVIDER:
		return openProvider(now, m.Data)
	case pb.RecordType_RECORD_TYPE_VALUE:
		return o.openValue(now, m)
	case pb.RecordType_RECORD_TYPE_PEER:
		return o.openPeer(now, m.Data)
	}
	return nil, fmt.Errorf("%w: record of type %d", ErrForged, m.GetType())
}

func openProvider(now time.Time, data []byte) (*Record, error) {
	p, err := OpenProvider(data)
	if err != nil {
		return nil, err
	}
	r := p.record(data)
	signed, err := checkSeq(now, p.Seq)
	r.Expires = earliest(p.Expires, signed.Add(MaxProvider), now.Add(MaxProvider))
	return r, err
}

// record returns the record that says what p does; data is p sealed.
func (p *Provider) record(data []byte) *Record {
	return &Record{Type: TypeProvider, Name: p.Multihash, Peer: p.Peer, Version: p.Seq, Expires: p.Expires, Data: data}
}

func (o *Opener) openPeer(now time.Time, data []byte) (*Record, error) {
	a, err := OpenAddresses(data)
	if err != nil {
		return nil, err
	}
	if err := o.Limits.checkAddresses(a); err != nil {
		return nil, err
	}
	signed, err := checkSeq(now, a.Seq)
	return a.record(signed.Add(MaxPeer)), err
}

func (o *Opener) openValue(now time.Time, m *pb.Record) (*Record, error) {
	if len(m.Name) == 0 || len(m.Name) > MaxName {
		return nil, fmt.Errorf("%w: a key of %d bytes, must be 1 to %d", ErrForged, len(m.Name), MaxName)
	}
	// Compared as numbers, since the sender may say anything.
	ms := m.ExpiresMs
	if last := now.Add(MaxValue); ms > uint64(last.Add(valueSlack).UnixMilli()) {
		ms = uint64(last.UnixMilli())
	}
	expires := time.UnixMilli(int64(ms))
	if !expires.After(now) {
		return nil, fmt.Errorf("%w: at %v", ErrExpired, expires)
	}
	if err := validate(o.Validator, m.Name, m.Data); err != nil {
		return nil, err
	}
	return newValue(m.Name, m.Data, expires), nil
}

// checkSeq returns the time that a sequence number stands for. The error wraps
// [ErrForged].
func checkSeq(now time.Time, seq uint64) (time.Time, error) {
	signed := seqTime(seq)
	if signed.After(now.Add(MaxSkew)) {
		return signed, fmt.Errorf("%w: of %v, now is %v", ErrForged, signed, now)
	}
	return signed, nil
}

func earliest(a, b, c time.Time) time.Time {
	if b.Before(a) {
		a = b
	}
	if c.Before(a) {
		a = c
	}
	return a
}
