package pastry

import (
	"context"

	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/proto"

	"github.com/secondbit/pastry/pb"
	"github.com/secondbit/pastry/ring"
)

// AnswerStores makes a node answer calls to store records by a function. Other
// calls fail.
func AnswerStores(n *Node, answer func(key ring.ID, call *pb.StoreCall) (*pb.StoreReply, error)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.apps[recordsApp] = &app{Application: storeAnswerer(answer), running: make(chan struct{}, maxRunning)}
}

type storeAnswerer func(key ring.ID, call *pb.StoreCall) (*pb.StoreReply, error)

func (storeAnswerer) Forward(context.Context, *Message, peer.ID) bool { return true }

func (f storeAnswerer) Deliver(_ context.Context, m *Message) ([]byte, error) {
	var call pb.RecordCall
	if err := proto.Unmarshal(m.Payload, &call); err != nil {
		return nil, err
	}
	reply, err := f(m.Key, call.GetStore())
	if err != nil {
		return nil, err
	}
	return proto.Marshal(&pb.RecordReply{Body: &pb.RecordReply_Store{Store: reply}})
}
