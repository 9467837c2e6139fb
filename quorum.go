package pastry

import (
	"fmt"
	"math"
	"reflect"

	"github.com/libp2p/go-libp2p/core/routing"
)

// quorumKey is the key of Quorum among a call's options.
type quorumKey struct{}

// Quorum makes GetValue and SearchValue wait until n of the members that hold
// the value have been heard; 0 means all of them, and so does a number larger
// than the replication. Without it, the member that is asked answers at once when
// it knows what the others hold. The Quorum of go-libp2p-kad-dht means the same
// here.
func Quorum(n int) routing.Option {
	return func(o *routing.Options) error {
		if n < 0 {
			return fmt.Errorf("pastry: Quorum: %d, must not be negative", n)
		}
		if o.Other == nil {
			o.Other = make(map[any]any, 1)
		}
		o.Other[quorumKey{}] = n
		return nil
	}
}

// The type of the key under which go-libp2p-kad-dht keeps its own quorum, an
// int. Nobody outside that module can name it.
const (
	kadQuorumPath = "github.com/libp2p/go-libp2p-kad-dht/internal/config"
	kadQuorumName = "QuorumOptionKey"
)

// quorumOf returns how many replicas must be heard, at most 2^31-1, and 0 for
// all. It reports false when no option says. Quorum has precedence over that of
// go-libp2p-kad-dht, of which a negative one means all and a value of another type
// is none.
func quorumOf(o *routing.Options) (n int, given bool) {
	if o == nil {
		return 0, false
	}
	n, given = o.Other[quorumKey{}].(int)
	for key, value := range o.Other {
		if !given && typeIs(key, kadQuorumPath, kadQuorumName) {
			n, given = value.(int)
		}
	}
	return min(max(n, 0), math.MaxInt32), given
}

// typeIs reports whether the type of v is the one of that name in the package
// with that path.
func typeIs(v any, path, name string) bool {
	t := reflect.TypeOf(v)
	return t != nil && t.Name() == name && t.PkgPath() == path
}
