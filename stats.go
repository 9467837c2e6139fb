package pastry

// Drop is why something was thrown away.
type Drop uint8

// The causes of drops, counted in Stats.Drops.
const (
	DropMalformed  Drop = iota // a packet that makes no sense
	DropStale                  // from an incarnation that is no more
	DropDuplicate              // a message that passed or was delivered before
	DropExpired                // the time of a message ran out here
	DropHopLimit               // too many hops
	DropNoReplyWay             // a reply whose way back is gone
	DropForged                 // a signature that does not match
	DropHeld                   // more messages than a joining node can hold
	DropFlood                  // more packets from one neighbour than it may send
	DropOutbox                 // an outbox was full
	DropOversized              // a frame over the limit
	DropCredential             // a neighbour without the credential
	numDrops
)

var dropNames = [numDrops]string{"malformed", "stale", "duplicate", "expired", "hop-limit", "no-reply-way",
	"forged", "held", "flood", "outbox", "oversized", "credential"}

// String returns the cause as the metrics name it.
func (d Drop) String() string { return dropNames[min(d, numDrops-1)] }

// Stats counts what a RawNode did since it was made.
type Stats struct {
	Sent       [numKinds]uint64 // packets, indexed by Kind
	Received   [numKinds]uint64 // packets, indexed by Kind
	Drops      [numDrops]uint64 // indexed by Drop
	Joins      uint64           // joins finished
	Reroutes   uint64           // messages sent round a silent hop
	Resends    uint64           // messages sent again to the same hop
	Retries    uint64           // messages sent again by their origin
	ProbeAlive uint64           // probes that were answered
	ProbeDead  uint64           // probes that found a node dead
	Refused    uint64           // joiners and candidates that were not admitted
}
