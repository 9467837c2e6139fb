// Package records keeps the records that a member holds for all: providers of
// contents, values, and addresses of peers. It knows what may be in a record and
// for how long it holds (provider.go, value.go, peer.go), stores it in a
// datastore (store.go), compares what two members hold (index.go, reconcile.go)
// and decides with whom to compare, and what may be dropped (replication.go).
//
// The index, the comparison and the replication policy have no goroutine, clock,
// lock or datastore; time is an argument. The simulator drives the same code.
package records
