// Package bench compares this router with go-libp2p-kad-dht, each on hosts of
// its own on loopback sockets, in one run:
//
//	go test -C bench -run '^$' -bench . -benchtime 1x
//
// It is a module of its own, so that kad-dht stays out of the router's.
package bench
