// Package ring holds the identifiers of the Pastry overlay: 128-bit points on
// a ring, where the largest id is followed by zero.
//
// Nodes and keys share the ring. An [ID] comes from a peer ID ([FromPeer]), a
// multihash ([FromMultihash]) or the bytes of a key ([FromKey]); each is the
// first 128 bits of a SHA-256, which is the upper half of the key that the
// libp2p Kademlia DHT derives from the same bytes.
//
// An id is read in two ways. As a string of digits in base 2^b it is routed by
// prefix: see [ID.Digit] and [SharedPrefixLen]. As a number modulo 2^128 it has
// neighbours and a distance: see [Distance], [Clockwise] and [Between]. Which of
// two ids is closer to a key is decided by [CompareDistance] alone, which never
// ties, so that any two nodes that know the same ids agree on the root of a key.
//
// Only making a String or a marshalled form allocates. All functions may be
// called from any number of goroutines.
//
// See Rowstron and Druschel (2001), Pastry: Scalable, decentralized object
// location and routing for large-scale peer-to-peer systems, section 2.
package ring
