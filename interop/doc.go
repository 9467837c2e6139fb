// Package interop runs the router beside those it can take the place of, and
// below the programs that use one.
//
// Its tests run the conformance suite of package testutil against this router and
// against kad-dht, whose results are kept in testdata/kad-dht.txt, and plug the
// router into boxo's bitswap, namesys and reprovider, into a routed host, into
// pubsub's discovery and into the compositions of go-libp2p-routing-helpers, over
// real sockets of the loopback interface.
//
// It is a module of its own, so that its dependencies are not those of the router.
package interop
