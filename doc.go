// Package pastry is the Pastry overlay on go-libp2p: it routes messages by key
// among the members of a self-organising ring.
//
// # Model
//
// Every node has an id, a point on a ring of 2^128 points that follows from its
// peer ID; keys are points on the same ring, see package ring. The root of a key
// is the live member whose id is closest to it. A member knows
//
//   - its leaf set: the L members next to it on the ring, exactly. By it a key's
//     root and replicas are known, and who follows when one of them dies;
//   - its routing table: for each prefix of its own id, in digits of b bits,
//     members that continue it with another digit, near ones preferred;
//   - its neighborhood set: the members nearest by round trip.
//
// A message goes from member to member, each time to one that shares a longer
// prefix with the key or is closer to it, over streams that are open already.
// Each hop acknowledges it; round a silent hop it takes another way. Where a
// leaf set does not span the whole ring, that takes about log(N) hops to the
// base of 2^b in a ring of N members.
//
// Records - who provides a content, the values of keys, where clients are - are
// kept by the replica set of their key: the r members closest to it. A record is
// written and read through the root, which knows the others. When members come or
// go, those that share keys compare what they hold and fetch what they lack; a
// member that is no longer a replica hands its records over and drops them only
// when all that are have them.
//
// # Use
//
// A [Node] runs on a host that the caller owns and closes. [New] makes it,
// [Node.Join] takes it into a ring or begins one, [Node.Close] leaves. An
// [Application], registered under a name at every member that may be root, is
// given the messages for that name:
//
//	node, err := pastry.New(h, pastry.WithRegion("eu-west"))
//	err = node.Register("greeter", greeter{})
//	err = node.Join(ctx, members...)
//	receipt, err := node.Route(ctx, "greeter", ring.FromKey(name), payload)
//
// [Node.Route] addresses the root of a key, [Node.Send] one peer. [Node.NextHop],
// [Node.LocalLookup], [Node.Neighbors], [Node.ReplicaSet] and [Node.Range] are
// the rest of the common API for structured overlays (Dabek et al., 2003).
// The host's event bus tells of changes, see [EvtLeafSetChanged] and the other
// events. [WithCredentials] keeps strangers out, [WithMetrics] counts, and the log
// is go-log's "pastry".
//
// A Node is a libp2p routing.Routing, and goes wherever a DHT does, as the router
// of a host for one:
//
//	h, err := libp2p.New(libp2p.Routing(func(h host.Host) (routing.PeerRouting, error) {
//		router, err = pastry.New(h, pastry.WithBootstrapPeers(members...))
//		return router, err
//	}))
//	err = router.Join(ctx)
//
// [Node.Provide] and [Node.FindProvidersAsync] are for contents, [Node.PutValue],
// [Node.GetValue] and [Node.SearchValue] for values under validators, public keys
// and IPNS among them, [Node.FindPeer] for addresses, those of clients included.
// [Node.ProvideMany] announces very many contents at once, and
// [Node.StartProviding] does so until it is told to stop. [WithDatastore] puts
// records on disk, [WithNamespacedValidator] adds values of one's own, [WithLAN]
// sets a node up for a local network.
//
// A Node may be used from any number of goroutines. Its routing is done by a
// [RawNode], which has no goroutine, clock or transport and can be driven by a
// simulator or over another transport. Package testutil runs clusters of nodes
// on a simulated network in virtual time.
//
// # Guarantees
//
// A message is delivered only by an active member that is the root of its key; a
// node that is still joining delivers nothing. While a live member is taken for
// dead by another, or half a leaf set has died at once, two members can be root of
// one key, until that is corrected, joins begun meanwhile are over and leaf sets
// are exact again. It is delivered once, unless the member that delivered it
// crashes before its answer is back: then the next root may deliver it again, as
// nobody can tell that from a crash before.
//
// Every call ends, by the deadline of its context or within a minute if it has
// none, with the answer or an error that says why there is none; a call about a
// record, which is tried again, within three. Exceptions are Join, which waits for
// as long as its context lets it, and ProvideMany and FindProvidersAsync, which
// take as long as there is more to announce and to find.
//
// The origin of a message, a change made on the way and the answer are signed
// and verified wherever they pass through others. Bytes from the network end in
// an error or a counted drop. An application that blocks or panics harms neither
// the overlay nor another application.
//
// A record is acknowledged when a majority of its replica set has it in their
// datastores. It is then found until it expires, whoever leaves and joins, unless
// all that hold it crash, or lose their disks, before the others have compared with
// them, which takes them seconds. Nobody has to publish it again meanwhile. Every
// holder and every reader verifies a record. routing.ErrNotFound means that a
// majority of the replicas have none, one of which has compared with all others,
// or that all have none; when neither can be learned, the error is another.
//
// Dead members are found by three unanswered packets, two of them probes at the
// least, after the silence of a heartbeat, a lost connection or a missed
// acknowledgement. Halves of a ring that was split find each other again, and
// their records are put together. A node with a [WithDatastore] that persists
// rejoins after a restart without bootstrap peers, with the records it held.
//
// # Limits
//
//   - A payload, and a reply, has at most 512 KiB; a message crosses at most 32
//     links.
//   - An application handles at most 1,024 messages at a time at one node; its
//     further senders get [ErrBusy].
//   - Members are trusted with routes: one that lies can delay or drop what
//     passes it. It cannot forge an origin or an answer.
//   - A signature carries no time: a member that captured a message on its way
//     can have it delivered again once its root has forgotten it, after seven
//     minutes. And a member on the way can end a call with a false error, as only
//     replies and an AppError are signed.
//   - Records expire, provider records and values 48 hours after they were made or
//     put. Who provides for longer uses StartProviding; who puts a value puts it
//     again. Nothing can be withdrawn before.
//   - A replica that lies can withhold what it holds, or say that it holds what it
//     does not. It cannot make up a provider, addresses, or a value that the
//     validator refuses.
//   - Members hold at most what [WithRecordLimits] says; beyond that they refuse
//     records, and of too many providers of one content drop those that expire
//     first. The bandwidth of repair is bounded, see [WithRepairBandwidth].
//   - r, see [WithReplication], is at most L/2; at L/2, repair of records moves
//     about three times as much as with a leaf set of two more.
//   - All nodes of a ring should agree on L, b and r, and on validators.
package pastry
