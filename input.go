package pastry

import (
	"time"
)

// InputKind tells what happened.
type InputKind uint8

// The inputs of Step. Fields of Input that a kind does not name are ignored.
const (
	InPacket       InputKind = iota // From sent Packet
	InSendFailed                    // Packet could not be sent to From
	InConnected                     // there is an open connection to From
	InDisconnected                  // the last connection to From is gone
	InJoin                          // join the ring through any of Contacts; with none, start one
	InLeave                         // tell the neighbours and stop; the second time, stop at once
	InSelf                          // the node's own contact is now From
	InRegister                      // messages for App may be forwarded and delivered here
	InUnregister                    // and no longer
	InRoute                         // send Msg on its way, first to From if it is set; give up after TTL
	InCancel                        // the caller of message ID has given up
	InForwarded                     // answers ActForward of ID: pass on Msg, or stop it if Msg is nil
	InDelivered                     // answers ActDeliver of ID with Code, Payload and Auth
	InSigned                        // answers ActSign of ID with Msg
	InVouched                       // answers ActVouch of ID with Auth
	InMerge                         // look for another part of the ring through Contacts
)

// Input is something that happened: a tagged struct in which Kind tells the
// fields that matter. What it points to belongs to the node from then on and is
// not to be changed.
type Input struct {
	Kind     InputKind
	From     *Contact
	Packet   *Packet
	Contacts []*Contact
	App      string
	ID       MessageID
	Msg      *Routed
	TTL      time.Duration
	Code     Code
	Payload  []byte
	Auth     []byte
}

// ActionKind tells what the driver must do.
type ActionKind uint8

// The actions Step and Advance return, to be carried out in order.
const (
	ActSend      ActionKind = iota // send Packet to To, dialling if need be; report a failure with InSendFailed
	ActDeliver                     // give Msg, which came from To, to its application, answer with InDelivered
	ActForward                     // ask the application about Msg going to To, answer with InForwarded
	ActReceipt                     // message Answer.ID of this node's own has ended; the answer came from To, if set
	ActSign                        // sign Msg, of this node's own, and give it back with InSigned: it goes through others
	ActVouch                       // sign Answer and give it back with InVouched: it goes through others
	ActState                       // the node's State changed
	ActLeaves                      // the leaf set changed
	ActJoined                      // To has entered the leaf set
	ActGone                        // To was in a table and is dead, or has left (Code is CodeNotActive)
	ActHeartbeat                   // To, the right neighbour, has given its sign of life
	ActForget                      // To did not answer: connections to it are of no use
)

// Action is something for the driver to do: a tagged struct in which Kind tells
// the fields that are set. What it points to is shared with the node and with
// other actions, and is not to be changed.
type Action struct {
	Kind   ActionKind
	To     *Contact
	Packet *Packet
	Msg    *Routed
	Hops   int           // ActDeliver, ActForward: links crossed so far
	TTL    time.Duration // ActDeliver, ActForward: time left until the origin gives up
	Path   []PeerID      // ActDeliver: the nodes passed
	Answer *Answer
	State  State
	Code   Code
}
