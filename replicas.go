package pastry

import (
	"context"
	"errors"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multihash"
	"google.golang.org/protobuf/proto"

	"github.com/secondbit/pastry/pb"
	"github.com/secondbit/pastry/ring"
)

const (
	replicaTimeout  = 3 * time.Second // for one replica to answer the root
	maxReplicaCalls = 1024            // of one node at once
)

var errReplicas = errors.New("too few replicas stored the record")

// replicate has the other members of the replica set store a provider. It
// returns when a majority of the set, this node counted, has done so; failing
// that, when all were tried, and then a majority of those that answered must
// have. The calls to the others go on in any case.
func (k *keeper) replicate(ctx context.Context, req *pb.RecordRequest) error {
	others, results, err := k.callReplicas(ctx, req)
	if err != nil {
		return err
	}
	stored, answered := 1, 1
	for range others {
		switch r, err := receive(ctx, results); {
		case err != nil:
			return err
		case r == replicaDone:
			stored, answered = stored+1, answered+1
		case r == replicaRefused:
			answered++
		}
		if 2*stored > others+1 {
			return nil
		}
	}
	if 2*stored <= answered {
		return errReplicas
	}
	return nil
}

// gather asks the other members of the replica set for the providers they hold.
// It returns when a majority of the set has answered and something was found, or
// when all were asked.
func (k *keeper) gather(ctx context.Context, req *pb.RecordRequest) error {
	others, results, err := k.callReplicas(ctx, req)
	if err != nil {
		return err
	}
	answered := 1
	for range others {
		r, err := receive(ctx, results)
		if err != nil {
			return err
		}
		if r != replicaSilent {
			answered++
		}
		if 2*answered > others+1 && k.has(req.Multihash) {
			return nil
		}
	}
	return nil
}

// replicaResult is how a call to a replica ended.
type replicaResult uint8

const (
	replicaSilent replicaResult = iota
	replicaRefused
	replicaDone
)

func receive(ctx context.Context, results <-chan replicaResult) (replicaResult, error) {
	select {
	case r := <-results:
		return r, nil
	case <-ctx.Done():
		return replicaSilent, ctx.Err()
	}
}

// callReplicas sends a request to the other members of the replica set of its
// key, all at once. It returns how many they are and a channel that gets as many
// results, unless the node is closed.
func (k *keeper) callReplicas(ctx context.Context, req *pb.RecordRequest) (int, <-chan replicaResult, error) {
	set, err := k.replicaSet(ring.FromMultihash(req.Multihash))
	if err != nil {
		return 0, nil, err
	}
	payload, err := proto.Marshal(req)
	if err != nil {
		return 0, nil, err
	}
	results := make(chan replicaResult, len(set))
	for _, p := range set {
		select {
		case k.calls <- struct{}{}:
		case <-ctx.Done():
			return 0, nil, ctx.Err()
		}
		k.n.spawn(func() {
			defer func() { <-k.calls }()
			results <- k.callReplica(p, req.Multihash, payload)
		})
	}
	return len(set), results, nil
}

// replicaSet returns the other members of the replica set of a key, as far as
// the leaf set shows it.
func (k *keeper) replicaSet(key ring.ID) ([]peer.ID, error) {
	for r := min(k.n.opts.replication, k.n.leafSetSize()+1); r > 0; r-- {
		set, ok := k.n.ReplicaSet(key, r)
		if !ok {
			continue
		}
		var others []peer.ID
		for _, p := range set {
			if p != k.n.host.ID() {
				others = append(others, p)
			}
		}
		return others, nil
	}
	return nil, ErrNotActive
}

// callReplica sends a request to one replica and takes in what it holds.
func (k *keeper) callReplica(p peer.ID, mh multihash.Multihash, payload []byte) replicaResult {
	ctx, cancel := context.WithTimeout(k.n.ctx, replicaTimeout)
	defer cancel()
	r, err := k.n.Send(ctx, recordsApp, p, payload)
	if err != nil {
		log.Debugw("replica did not answer", "peer", p, "err", err)
		return replicaSilent
	}
	var resp pb.RecordResponse
	if err := proto.Unmarshal(r.Reply, &resp); err != nil || len(resp.Providers) > maxProviders {
		return replicaRefused
	}
	for _, prov := range resp.Providers {
		k.hold(mh, prov)
	}
	if resp.Status != pb.RecordStatus_RECORD_STATUS_OK {
		return replicaRefused
	}
	return replicaDone
}
