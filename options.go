package pastry

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	ds "github.com/ipfs/go-datastore"
	dssync "github.com/ipfs/go-datastore/sync"
	record "github.com/libp2p/go-libp2p-record"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/prometheus/client_golang/prometheus"
)

// ProtocolID is the libp2p protocol a node speaks, after the prefix given with
// WithProtocolPrefix.
const ProtocolID protocol.ID = "/pastry/1.0.0"

// Mode says whether a node is part of the ring.
type Mode uint8

const (
	// ModeAuto is a member unless the host finds that it cannot be reached from
	// outside (event.EvtLocalReachabilityChanged says private); then a client.
	ModeAuto Mode = iota
	// ModeClient uses the overlay without being part of it: it sends messages
	// and is sent messages by its peer ID, is root of no key and in nobody's
	// tables.
	ModeClient
	// ModeServer is always a member.
	ModeServer
)

// String returns "auto", "client" or "server".
func (m Mode) String() string {
	return [...]string{"auto", "client", "server", "unknown"}[min(m, 3)]
}

// Option sets up a Node. New applies options in order and reports every invalid
// one at once.
type Option func(*options) error

type options struct {
	core        Config
	bootstrap   []peer.AddrInfo
	store       ds.Batching
	mode        Mode
	protocol    protocol.ID
	region      string
	factor      float64
	proximity   Proximity
	credentials Credentials
	replication int
	registerer  prometheus.Registerer
	perLink     int // packets a second accepted from one neighbour
	validator   record.Validator
	namespaces  record.NamespacedValidator
	limits      RecordLimits
	repairRate  int // bytes a second
}

func newOptions(opts []Option) (*options, error) {
	o := &options{protocol: ProtocolID, perLink: 100_000, limits: defaultLimits, repairRate: defaultRepairRate}
	var errs []error
	for _, opt := range opts {
		if err := opt(o); err != nil {
			errs = append(errs, err)
		}
	}
	errs = append(errs, o.finishValidator(), o.finishReplication())
	if o.store == nil {
		o.store = dssync.MutexWrap(ds.NewMapDatastore())
	}
	return o, errors.Join(errs...)
}

// WithBootstrapPeers names members through which to join, and through which a
// split ring finds together again. May be given several times.
func WithBootstrapPeers(peers ...peer.AddrInfo) Option {
	return func(o *options) error {
		for _, p := range peers {
			if p.ID.Validate() != nil {
				return fmt.Errorf("pastry: WithBootstrapPeers: invalid peer ID %q", string(p.ID))
			}
		}
		o.bootstrap = append(o.bootstrap, peers...)
		return nil
	}
}

// WithDatastore keeps contacts, records and what StartProviding was given in
// store instead of memory, so that a restarted node rejoins without bootstrap
// peers and holds what it held. New reads all keys of records in it, which takes
// some seconds for a million. The caller closes the store, after the node.
func WithDatastore(store ds.Batching) Option {
	return func(o *options) error {
		if store == nil {
			return errors.New("pastry: WithDatastore: nil datastore")
		}
		o.store = store
		return nil
	}
}

// WithMode chooses whether the node is a member of the ring. Default ModeAuto.
func WithMode(m Mode) Option {
	return func(o *options) error {
		if m > ModeServer {
			return fmt.Errorf("pastry: WithMode: unknown mode %d", m)
		}
		o.mode = m
		return nil
	}
}

// WithProtocolPrefix puts a prefix, such as "/my-cluster", before the protocol
// ID, which keeps rings apart. It starts, and does not end, with a slash.
func WithProtocolPrefix(prefix protocol.ID) Option {
	return func(o *options) error {
		if !strings.HasPrefix(string(prefix), "/") || strings.HasSuffix(string(prefix), "/") {
			return fmt.Errorf("pastry: WithProtocolPrefix: %q must start, and not end, with a slash", prefix)
		}
		o.protocol = prefix + ProtocolID
		return nil
	}
}

// WithRegion names the place the node runs in, at most 64 bytes. Nodes of
// another region count as farther away than their round trip says, by the given
// factor, or by 5 if there is none.
func WithRegion(name string, factor ...float64) Option {
	return func(o *options) error {
		if len(name) > maxRegion || !utf8.ValidString(name) {
			return fmt.Errorf("pastry: WithRegion: %q must be UTF-8 of at most %d bytes", name, maxRegion)
		}
		if len(factor) > 1 || len(factor) == 1 && !(factor[0] >= 1 && factor[0] <= 1000) {
			return fmt.Errorf("pastry: WithRegion: factor %v, must be one number from 1 to 1000", factor)
		}
		o.region = name
		if len(factor) == 1 {
			o.factor = factor[0]
		}
		return nil
	}
}

// WithProximity replaces the metric by which near nodes are told from far ones.
// Default: round trips, and Vivaldi coordinates where none was measured, see
// NewVivaldi.
func WithProximity(p Proximity) Option {
	return func(o *options) error {
		if p == nil {
			return errors.New("pastry: WithProximity: nil proximity")
		}
		o.proximity = p
		return nil
	}
}

// WithCredentials admits only neighbours that prove that they may be in the
// cluster. See Passphrase and AllowPeers.
func WithCredentials(c Credentials) Option {
	return func(o *options) error {
		if err := validateCredentials(c); err != nil {
			return fmt.Errorf("pastry: WithCredentials: %w", err)
		}
		o.credentials = c
		return nil
	}
}

// WithLeafSetSize sets L, the size of the leaf set, both sides together: even,
// 2 to 128. Default 24. It must be at least twice the replication; with just that,
// repair moves several times as much as with two more. All nodes of a
// ring should agree.
func WithLeafSetSize(l int) Option {
	return func(o *options) error {
		if l < 2 || l > maxLeafSet || l%2 != 0 {
			return fmt.Errorf("pastry: WithLeafSetSize: %d, must be even and 2 to 128", l)
		}
		o.core.LeafSetSize = l
		return nil
	}
}

// WithDigitBits sets b, the bits of a digit of an id, 1 to 8. Default 4. More
// bits mean fewer hops and larger tables. All nodes of a ring should agree.
func WithDigitBits(b int) Option {
	return func(o *options) error {
		if b < 1 || b > 8 {
			return fmt.Errorf("pastry: WithDigitBits: %d, must be 1 to 8", b)
		}
		o.core.DigitBits = b
		return nil
	}
}

// WithReplication sets r, the number of nodes that hold a record: 1 to half the
// leaf set's size, since a member must see all that share a record with it.
// Default 8, or half the leaf set's size if that is less. All nodes of a ring
// should agree.
func WithReplication(r int) Option {
	return func(o *options) error {
		if r < 1 || r > 64 {
			return fmt.Errorf("pastry: WithReplication: %d, must be 1 to 64", r)
		}
		o.replication = r
		return nil
	}
}

// defaultReplication is r where WithReplication is not given.
const defaultReplication = 8

func (o *options) finishReplication() error {
	cfg := o.core
	cfg.setDefaults()
	most := max(1, cfg.LeafSetSize/2)
	if o.replication == 0 {
		o.replication = min(defaultReplication, most)
	}
	if o.replication > most {
		return fmt.Errorf("pastry: WithReplication: %d replicas need a leaf set of %d or more, it has %d; see WithLeafSetSize", o.replication, 2*o.replication, cfg.LeafSetSize)
	}
	return nil
}

// WithHeartbeat sets the time between two signs of life to a neighbour, 100 ms
// to 10 minutes. Default 5 s. A silent death that no message meets is found
// after about this time.
func WithHeartbeat(d time.Duration) Option {
	return func(o *options) error {
		if d < 100*time.Millisecond || d > 10*time.Minute {
			return fmt.Errorf("pastry: WithHeartbeat: %v, must be 100ms to 10m", d)
		}
		o.core.Heartbeat = d
		return nil
	}
}

// WithProbeTimeout sets how long a probe of a node of unknown distance waits
// for its answer, a dial included, 10 ms to 1 minute. Default 1 s. Three
// unanswered probes make a node dead.
func WithProbeTimeout(d time.Duration) Option {
	return func(o *options) error {
		if d < 10*time.Millisecond || d > time.Minute {
			return fmt.Errorf("pastry: WithProbeTimeout: %v, must be 10ms to 1m", d)
		}
		o.core.ProbeTimeout = d
		return nil
	}
}

// WithMetrics registers the node's metrics, libp2p_pastry_…, with r. Close
// unregisters them. Nodes that share a registerer each need labels of their own,
// see prometheus.WrapRegistererWith; New fails otherwise.
func WithMetrics(r prometheus.Registerer) Option {
	return func(o *options) error {
		if r == nil {
			return errors.New("pastry: WithMetrics: nil registerer")
		}
		o.registerer = r
		return nil
	}
}
