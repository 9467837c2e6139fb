package pastry

import (
	"context"

	ds "github.com/ipfs/go-datastore"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/secondbit/pastry/pb"
)

// SignedRoute returns the Route of a message as the host with the given key
// sends it. It fills in the origin and signs.
func SignedRoute(key crypto.PrivKey, p *Packet) (*pb.Packet, error) {
	self, err := peer.IDFromPrivateKey(key)
	if err != nil {
		return nil, err
	}
	s, err := newSigner(self, key)
	if err != nil {
		return nil, err
	}
	p.Kind, p.Msg.Origin, p.Msg.OriginID = KindRoute, self, ringID(self)
	if p.Msg, err = s.sign(p.Msg); err != nil {
		return nil, err
	}
	return encodePacket(p), nil
}

// UseEpoch makes a datastore remember an epoch of at least the given number.
func UseEpoch(ctx context.Context, store ds.Batching, epoch uint64) error {
	_, err := newContactStore(store, ProtocolID, newContactBook(1)).nextEpoch(ctx, epoch)
	return err
}

// SavedPeers returns those whose contacts a datastore keeps.
func SavedPeers(ctx context.Context, store ds.Batching) ([]peer.ID, error) {
	cs, err := newContactStore(store, ProtocolID, newContactBook(maxSaved)).load(ctx)
	return peersOf(cs), err
}
