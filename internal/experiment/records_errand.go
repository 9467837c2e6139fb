package experiment

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/internal/records"
	"github.com/secondbit/pastry/internal/sim"
	"github.com/secondbit/pastry/pb"
	"github.com/secondbit/pastry/ring"
)

// The first byte of a payload. A simulated application answers at once or never,
// so that the answer of a root that has to ask others first is a message of its
// own, to the origin. It counts, as its way back would.
const (
	frameCall   = iota
	frameAnswer // of an earlier message, whose id comes next
)

// errand is a call that waits for its answer.
type errand struct {
	from    int
	purpose purpose
	message *sim.Message // nil while it is being sent
	done    func(r *pb.RecordReply, root ring.ID)
}

// askMember sends a call to one member. done is called with what it answers, nil
// if there is no answer in time or it is an error; never, if the caller is gone.
func (k *keeper) askMember(to ring.ID, call *pb.RecordCall, why purpose, done func(*pb.RecordReply)) {
	ttl := records.MemberTimeout + time.Duration(len(call.GetStore().GetRecords()))*records.RecordTime
	k.a.send(k.node, &pastry.Routed{Key: to, Direct: true}, call, ttl, &errand{
		purpose: why, done: func(r *pb.RecordReply, _ ring.ID) { done(r) },
	})
}

// askRoot routes a call to the root of key, again and again while that may help.
// done is called as that of askMember is, and with who has answered.
func (a *archive) askRoot(from int, key ring.ID, call *pb.RecordCall, why purpose, done func(*pb.RecordReply, ring.ID)) {
	k, pause, tries := a.keeper(from), records.AskPause, 0
	var try func()
	try = func() {
		if k == nil || !k.up {
			return
		}
		tries++
		a.send(from, &pastry.Routed{Key: key}, call, records.AskTimeout, &errand{purpose: why, done: func(r *pb.RecordReply, root ring.ID) {
			if r != nil || tries == records.AskTries {
				done(r, root)
				return
			}
			a.world.After(pause, try)
			pause *= 2
		}})
	}
	try()
}

// send sends a call on its way.
func (a *archive) send(from int, msg *pastry.Routed, call *pb.RecordCall, ttl time.Duration, e *errand) {
	body := a.encode(call)
	a.postage.call(e.purpose, call, len(body))
	msg.App, msg.Payload = sim.App, append([]byte{frameCall, byte(e.purpose)}, body...)
	e.from = from
	a.errands[msg] = e
	m := a.world.Send(from, msg, ttl)
	if a.errands[msg] == e && !msg.Direct {
		e.message = m
		a.routed[msg.ID] = e
	}
}

// over is told of the end of every message.
func (a *archive) over(m *sim.Message) {
	e := a.errands[m.Msg]
	delete(a.errands, m.Msg)
	delete(a.routed, m.Msg.ID)
	if e == nil || m.Answer == nil || a.keeper(e.from) == nil {
		return
	}
	var reply *pb.RecordReply
	if m.Answer.Code == pastry.CodeOK {
		reply = a.decodeReply(m.Answer.Payload)
	}
	e.done(reply, ring.FromPeer(m.Answer.Root))
}

// deliver is the application of every member.
func (a *archive) deliver(d sim.Delivery, msg *pastry.Routed) sim.Reply {
	k := a.keeper(d.Node)
	switch {
	case k == nil || len(msg.Payload) < 2:
		return sim.Reply{Code: pastry.CodeAppError}
	case msg.Payload[0] == frameAnswer:
		a.answered(d.Node, msg.OriginID, msg.Payload[1:])
		return sim.Reply{}
	}
	why := purpose(msg.Payload[1])
	call := new(pb.RecordCall)
	if err := proto.Unmarshal(msg.Payload[2:], call); err != nil {
		a.fault("node %d cannot read a call: %v", d.Node, err)
		return sim.Reply{Code: pastry.CodeAppError}
	}
	if msg.Direct {
		return a.reply(why, k.answer(msg, call, why))
	}
	reply, later := k.answerForAll(call, func(r *pb.RecordReply) { a.answer(k, why, msg, r) })
	if later {
		return sim.Reply{Never: true}
	}
	return a.reply(why, reply)
}

// reply returns an answer, an error if there is none, as the application's.
func (a *archive) reply(why purpose, r *pb.RecordReply) sim.Reply {
	if r == nil {
		return sim.Reply{Code: pastry.CodeAppError}
	}
	body := a.encode(r)
	a.postage.reply(why, r, len(body))
	return sim.Reply{Payload: body}
}

// answer sends an answer that had to wait. An error is not sent: the origin
// learns by its timeout, as if the answer had been lost.
func (a *archive) answer(k *keeper, why purpose, msg *pastry.Routed, r *pb.RecordReply) {
	if r == nil || !k.up {
		return
	}
	body := a.encode(r)
	a.postage.reply(why, r, len(body))
	payload := append(append([]byte{frameAnswer}, msg.ID[:]...), body...)
	a.world.Send(k.node, &pastry.Routed{App: sim.App, Key: msg.OriginID, Direct: true, Payload: payload}, records.AskTimeout)
}

// answered takes in an answer that a root sent by itself.
func (a *archive) answered(node int, root ring.ID, payload []byte) {
	if len(payload) < len(pastry.MessageID{}) {
		return
	}
	id := pastry.MessageID(payload[:len(pastry.MessageID{})])
	e := a.routed[id]
	if e == nil || e.from != node {
		return // it was given up
	}
	delete(a.routed, id)
	delete(a.errands, e.message.Msg)
	reply := a.decodeReply(payload[len(id):])
	a.world.After(0, func() {
		a.world.Cancel(e.message)
		if a.keeper(e.from) != nil {
			e.done(reply, root)
		}
	})
}

func (a *archive) encode(m proto.Message) []byte {
	b, err := proto.Marshal(m)
	if err != nil {
		panic(fmt.Sprintf("experiment: %v", err)) // there are no strings that could be malformed
	}
	return b
}

func (a *archive) decodeReply(b []byte) *pb.RecordReply {
	r := new(pb.RecordReply)
	if err := proto.Unmarshal(b, r); err != nil {
		a.fault("cannot read a reply: %v", err)
		return nil
	}
	return r
}

// fault notes what must never happen.
func (a *archive) fault(format string, args ...any) { a.note(&a.faults, format, args...) }

// incident notes what is to happen only where records have too few copies.
func (a *archive) incident(format string, args ...any) { a.note(&a.incidents, format, args...) }

func (a *archive) note(lines *[]string, format string, args ...any) {
	if len(*lines) < maxIncidents {
		*lines = append(*lines, fmt.Sprintf("seed %d, after %v: ", a.Seed, a.world.Now())+fmt.Sprintf(format, args...))
	}
}

func storeCall(rs []*pb.Record) *pb.RecordCall {
	return &pb.RecordCall{Body: &pb.RecordCall_Store{Store: &pb.StoreCall{Records: rs}}}
}

func findCall(name []byte) *pb.RecordCall {
	return &pb.RecordCall{Body: &pb.RecordCall_Find{Find: &pb.FindCall{Type: pb.RecordType_RECORD_TYPE_PROVIDER, Name: name, Limit: 1}}}
}

func compareCall(arcs []*pb.Arc) *pb.RecordCall {
	return &pb.RecordCall{Body: &pb.RecordCall_Compare{Compare: &pb.CompareCall{Arcs: arcs}}}
}

func fetchCall(ids []byte) *pb.RecordCall {
	return &pb.RecordCall{Body: &pb.RecordCall_Fetch{Fetch: &pb.FetchCall{Ids: ids}}}
}
