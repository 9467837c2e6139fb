package pastry

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/proto"

	"github.com/secondbit/pastry/internal/records"
	"github.com/secondbit/pastry/pb"
	"github.com/secondbit/pastry/ring"
)

const (
	askTries      = records.AskTries
	askTimeout    = records.AskTimeout
	askPause      = records.AskPause
	memberTimeout = records.MemberTimeout
	recordTime    = records.RecordTime
)

// recordSize is about how many bytes a provider record takes in a call.
const recordSize = 256

// askRoot routes a call to the root of key. It tries again while that may help:
// calls can be repeated without harm. The Receipt tells who answered.
func (n *Node) askRoot(ctx context.Context, key ring.ID, call *pb.RecordCall) (*pb.RecordReply, Receipt, error) {
	payload, err := proto.Marshal(call)
	if err != nil {
		return nil, Receipt{}, err
	}
	pause := askPause
	for try := 1; ; try++ {
		reply, r, err := n.askOnce(ctx, key, payload)
		if err == nil || try == askTries || n.State() == StateIdle || ctx.Err() != nil {
			return reply, r, err
		}
		log.Debugw("the root did not answer", "try", try, "err", err)
		if err := n.pause(ctx, pause); err != nil {
			return nil, r, err
		}
		pause *= 2
	}
}

func (n *Node) askOnce(ctx context.Context, key ring.ID, payload []byte) (*pb.RecordReply, Receipt, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout+time.Duration(len(payload)/recordSize)*recordTime)
	defer cancel()
	r, err := n.Route(ctx, recordsApp, key, payload)
	if err != nil {
		return nil, r, err
	}
	reply, err := decodeReply(r)
	return reply, r, err
}

// askMember sends a call to one member, which has a little more time for each of
// many records.
func (n *Node) askMember(ctx context.Context, p peer.ID, call *pb.RecordCall) (*pb.RecordReply, error) {
	payload, err := proto.Marshal(call)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, memberTimeout+time.Duration(len(call.GetStore().GetRecords()))*recordTime)
	defer cancel()
	r, err := n.Send(ctx, recordsApp, p, payload)
	if err != nil {
		return nil, err
	}
	return decodeReply(r)
}

func decodeReply(r Receipt) (*pb.RecordReply, error) {
	var reply pb.RecordReply
	if err := unmarshalPayload(r.Reply, &reply); err != nil {
		return nil, fmt.Errorf("reply of %s: %w", r.Root, err)
	}
	return &reply, nil
}

// leastRecord is less than any record takes up in a call or reply, in bytes.
const leastRecord = 8

// unmarshalPayload reads a call or a reply, and bounds the memory that takes.
func unmarshalPayload(b []byte, m proto.Message) error {
	if len(b) > screenAbove {
		left := len(b) / leastRecord
		if err := screenMessage(b, m.ProtoReflect().Descriptor(), &left); err != nil {
			return err
		}
	}
	if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(b, m); err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return nil
}

// errNoBody is wrapped by the error for a reply without the body asked for.
var errNoBody = errors.New("reply to another call")

// pause waits for d, or until there is no point in waiting.
func (n *Node) pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-n.closed:
		return ErrClosed
	}
}

func storeCall(c *pb.StoreCall) *pb.RecordCall {
	return &pb.RecordCall{Body: &pb.RecordCall_Store{Store: c}}
}

func findCall(c *pb.FindCall) *pb.RecordCall {
	return &pb.RecordCall{Body: &pb.RecordCall_Find{Find: c}}
}

func compareCall(arcs []*pb.Arc) *pb.RecordCall {
	return &pb.RecordCall{Body: &pb.RecordCall_Compare{Compare: &pb.CompareCall{Arcs: arcs}}}
}

func fetchCall(ids []byte) *pb.RecordCall {
	return &pb.RecordCall{Body: &pb.RecordCall_Fetch{Fetch: &pb.FetchCall{Ids: ids}}}
}

func locateCall(count int) *pb.RecordCall {
	return &pb.RecordCall{Body: &pb.RecordCall_Locate{Locate: &pb.LocateCall{Count: uint32(count)}}}
}
