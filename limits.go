package pastry

import (
	"github.com/libp2p/go-libp2p/core/protocol"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
)

// SetDefaultServiceLimits sets what a node needs of a libp2p resource manager:
// a stream or two to each neighbour, 128 KiB a stream, growing with the memory
// the manager may use. prefix is the one given with WithProtocolPrefix, empty
// otherwise. Call it beside libp2p.SetDefaultServiceLimits, before the limits
// are scaled:
//
//	limits := rcmgr.DefaultLimits
//	libp2p.SetDefaultServiceLimits(&limits)
//	pastry.SetDefaultServiceLimits(&limits, "")
//	manager, err := rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(limits.AutoScale()))
func SetDefaultServiceLimits(limits *rcmgr.ScalingLimitConfig, prefix protocol.ID) {
	all := rcmgr.BaseLimit{StreamsInbound: 512, StreamsOutbound: 512, Streams: 1024, Memory: 128 << 20}
	more := rcmgr.BaseLimitIncrease{StreamsInbound: 256, StreamsOutbound: 256, Streams: 512, Memory: 64 << 20}
	each := rcmgr.BaseLimit{StreamsInbound: 8, StreamsOutbound: 8, Streams: 16, Memory: 16 * linkMemory}
	limits.AddServiceLimit(serviceName, all, more)
	limits.AddServicePeerLimit(serviceName, each, rcmgr.BaseLimitIncrease{})
	limits.AddProtocolLimit(prefix+ProtocolID, all, more)
	limits.AddProtocolPeerLimit(prefix+ProtocolID, each, rcmgr.BaseLimitIncrease{})
}
