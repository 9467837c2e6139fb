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
// after. Losses and late packets count against one allowance of faults, crashes
// against another. Clocks run equally fast, draws of a node's random source are
// constant, and of several timers that one node has at one instant one order is
// tried.
//
// Search visits states breadth first, each once, so that what it finds is a
// shortest way to a fault. States are compared by pastry.Snapshot, in which names
// and times are canonical. A RawNode cannot be copied; since a step changes one
// node only, each node's history is kept as a tree of versions shared by all
// states, and a node is brought back by repeating its inputs.
//
// In every state checked:
//
//   - No two active nodes that run are both root of one key, unless the ring
//     suffers from a false suspicion: some node that runs has been found dead by
//     another. The excuse lasts until nobody takes a running node for dead and
//     the leaf sets of the active nodes are exact again. It takes at least as many
//     lost answers as a probe has tries, less one.
//   - From every state (Config.Settle: of a sample) a run without further faults
//     in which all packets arrive leads to one ring of all nodes that run, with
//     exact leaf sets, within a bounded virtual time, and never through a state
//     that breaks the first rule.
package explore
