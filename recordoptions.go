package pastry

import (
	"errors"
	"fmt"
	"strings"
	"time"

	record "github.com/libp2p/go-libp2p-record"

	"github.com/secondbit/pastry/internal/ipns"
)

// defaultLimits bound what a node holds for others.
var defaultLimits = RecordLimits{Records: 1 << 20, Bytes: 1 << 30, PerKey: 1024, PerPeer: 1 << 19, Record: 64 << 10, Addrs: 64}

const (
	maxRecordData     = 240 << 10 // bytes; a record must fit a call to a replica with its addresses
	defaultRepairRate = 4 << 20   // bytes a second
	minRepairRate     = 16 << 10
)

// WithValidator replaces the validator of values, which by default is one for
// each namespace: "pk" for public keys and "ipns". Members refuse what theirs
// does not accept, so all should have the same. It is called from several
// goroutines, for what strangers send, and must not wait; when it panics, the
// value is invalid.
func WithValidator(v record.Validator) Option {
	return func(o *options) error {
		if v == nil {
			return errors.New("pastry: WithValidator: nil validator")
		}
		o.validator = v
		return nil
	}
}

// WithNamespacedValidator adds a validator for the values whose keys begin with
// "/ns/", or replaces it. It does not go together with a WithValidator that is
// not a record.NamespacedValidator.
func WithNamespacedValidator(ns string, v record.Validator) Option {
	return func(o *options) error {
		if ns == "" || strings.Contains(ns, "/") {
			return fmt.Errorf("pastry: WithNamespacedValidator: %q must be a name without slashes, such as \"app\"", ns)
		}
		if v == nil {
			return fmt.Errorf("pastry: WithNamespacedValidator %q: nil validator", ns)
		}
		if o.namespaces == nil {
			o.namespaces = make(record.NamespacedValidator)
		}
		o.namespaces[ns] = v
		return nil
	}
}

// finishValidator puts the validators given together.
func (o *options) finishValidator() error {
	all := record.NamespacedValidator{"pk": record.PublicKeyValidator{}, "ipns": ipns.Validator{}}
	if o.validator != nil {
		given, ok := o.validator.(record.NamespacedValidator)
		if !ok && len(o.namespaces) > 0 {
			return fmt.Errorf("pastry: WithNamespacedValidator does not go together with WithValidator of a %T", o.validator)
		}
		if !ok {
			o.validator = guarded{o.validator}
			return nil
		}
		all = make(record.NamespacedValidator)
		for ns, v := range given {
			all[ns] = guarded{v}
		}
	}
	for ns, v := range o.namespaces {
		all[ns] = guarded{v}
	}
	o.validator = all
	return nil
}

// guarded is a validator of the user's, which may panic.
type guarded struct{ record.Validator }

func (g guarded) Validate(key string, value []byte) (err error) {
	defer recovered(&err)
	return g.Validator.Validate(key, value)
}

func (g guarded) Select(key string, values [][]byte) (best int, err error) {
	defer recovered(&err)
	return g.Validator.Select(key, values)
}

// recovered turns a panic of a validator into an error.
func recovered(err *error) {
	if what := recover(); what != nil {
		log.Errorw("a validator panicked", "panic", what)
		*err = fmt.Errorf("the validator panicked: %v", what)
	}
}

// WithRecordLimits bounds what the node holds for others. A field that is zero
// keeps its default: 1,048,576 records, 1 GiB in all, 1,024 providers of one
// content, 524,288 records signed by one peer, 64 KiB in one record, 64 addresses
// of one peer; one that is negative means unbounded, except that no record may
// have more than 240 KiB.
func WithRecordLimits(l RecordLimits) Option {
	return func(o *options) error {
		if l.Record > maxRecordData {
			return fmt.Errorf("pastry: WithRecordLimits: records of %d bytes, must be at most %d", l.Record, maxRecordData)
		}
		d := defaultLimits
		o.limits = RecordLimits{
			Records: limitOr(l.Records, d.Records), Bytes: limitOr(l.Bytes, d.Bytes),
			PerKey: limitOr(l.PerKey, d.PerKey), PerPeer: limitOr(l.PerPeer, d.PerPeer),
			Record: limitOr(l.Record, d.Record), Addrs: limitOr(l.Addrs, d.Addrs),
		}
		if l.Record < 0 {
			o.limits.Record = maxRecordData
		}
		return nil
	}
}

func limitOr[T int | int64](given, otherwise T) T {
	switch {
	case given == 0:
		return otherwise
	case given < 0:
		return 0
	}
	return given
}

// WithRepairBandwidth bounds the bytes a second, both ways together, that the
// node spends on comparing its records with those of other replicas and moving
// them, and on giving them records that they ask for: at least 16 KiB. Default 4
// MiB. What others send on their own account is bounded by theirs.
func WithRepairBandwidth(bytesPerSecond int) Option {
	return func(o *options) error {
		if bytesPerSecond < minRepairRate {
			return fmt.Errorf("pastry: WithRepairBandwidth: %d bytes a second, must be at least %d", bytesPerSecond, minRepairRate)
		}
		o.repairRate = bytesPerSecond
		return nil
	}
}

// WithLAN sets a node up for a local network: it is a member although nobody
// outside can reach it, which is what ModeAuto would find; it speaks the protocol
// under the prefix "/lan", so that it does not mix with a wide ring on the same
// hosts; and it notices a silent death within about a second. Options after it
// can change each of these.
func WithLAN() Option {
	return func(o *options) error {
		o.mode, o.protocol = ModeServer, "/lan"+ProtocolID
		o.core.Heartbeat, o.core.ProbeTimeout = time.Second, 250*time.Millisecond
		return nil
	}
}
