// Package sim runs many pastry.RawNodes against each other in virtual time, in
// one goroutine, as a discrete-event simulation: packets take the time that the
// distance between two nodes asks for, get lost and overtake each other, nodes
// crash, restart and leave, networks split, clocks jump. The nodes are the very
// state machines that run behind a libp2p host.
//
// A Topology places the nodes and says how far they are from each other. A ring
// is built by Grow, with joins, or by Perfect, without: from tables that are what
// the best of joins would make them.
//
// A run is a function of its Config and of what the caller does to it: the same
// seed gives the same trace hash. A Sim also watches what no node can see: who
// the true root of a key is, which leaf sets are exact, whether a message was
// delivered twice.
//
// A node takes about 30 kB, 50 kB with network coordinates, and the garbage until
// it is collected as much again. The package leaves the collector alone; a program
// that runs a hundred thousand nodes should set it (runtime/debug.SetGCPercent) or a
// memory limit (runtime/debug.SetMemoryLimit).
package sim
