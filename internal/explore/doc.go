// Package explore checks pastry.RawNode exhaustively: the very state machine that
// runs behind a libp2p host, no model of it. On rings of a few nodes it visits
// every state that can be reached within a number of steps, in which order ever
// nodes join and crash and packets arrive, arrive late, or are lost; on larger
// rings it takes random walks.
//
// A step delivers one of the packets in flight, loses one, starts a joiner,
// crashes a node, or lets time pass until the next timer whose work shows.
// Packets take no time unless they are late: time passes only when all in flight
// have been delivered or been declared late. A late packet may arrive at any time
// in the 12 s after, longer than a lease and than an attempt to join. Losses and
// late packets count against one allowance of faults, crashes against another.
// Clocks run equally fast, a node's random draws are constant (walks draw them),
// of several timers that one node has at one instant one order is tried, and the
// exchange of table rows is off.
//
// Search visits states breadth first, each once, so that what it finds is a
// shortest way to a fault. States are compared by pastry.Snapshot, in which names
// and times are canonical; a test holds states that count as equal against each
// other's futures. A RawNode cannot be copied; since a step changes one node only,
// each node's history is kept as a tree of versions that all states share, and a
// node is brought back by repeating its inputs.
//
// What is checked:
//
//   - In every state, no two active nodes that run are both root of one key. A pair
//     of nodes is excused from it in four cases, and no other pair with it:
//     one takes the other for dead; it did, and has heard from it since, but not yet
//     let it into its leaf set again; whoever granted one of them its place (or
//     granted that one its own, and so on) took the other for dead when it did, or is
//     taken for dead by the other, which does not see the one; or one of them lost
//     a whole side of its leaf set by L/2 crashes or false suspicions, or was
//     granted its place by one that had. The last two cases end when nobody is joining
//     and all active nodes have exact leaf sets. How often each was needed is
//     counted, in this order.
//   - A node that runs is found dead by one that has it in its leaf set only after
//     three packets at least were lost or late, two of them probes or answers to such.
//   - From every state a run without further faults in which all packets arrive leads
//     within three minutes of virtual time (Config.Patience) to one ring of all nodes
//     that run, with exact leaf sets: so no split is for good. On the way the first
//     rule holds, and packets do not follow from each other without end. The first step
//     of that run leads to another state of the search, and so it needs to be tried only
//     from the states met last, from where a walk stops, and with Config.Settle.
//
// A script (Config.Script), played before the search, leads to where it begins: joiners
// that have asked for their grants, a ring at rest, or one that was split. Depth counts
// from there. Each world says how many nodes must have been active at once.
//
// The tests print how many states there are. Flags go deeper or elsewhere; with the
// last, rules are taken out of the core one by one, and a search must find out:
//
//	go test ./internal/explore -run TestSearch -v -nodes 4 -losses 2 -depth 18
//	go test ./internal/explore -run TestWalks -v -walks 10000
//	go test ./internal/explore -run TestWalks -v -seed 15
//	go test ./internal/explore -run TestMutants -v -mutants
package explore
