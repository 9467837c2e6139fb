// Package testutil is for the tests of routers, and of programs that embed one: it
// runs many real libp2p hosts in one process, over a network that is simulated.
//
// A [Network] gives each host an address, an identity and a place in the world,
// all from one seed, and can lose packets, crash hosts without a goodbye and
// split into parts. Hosts speak QUIC as they do elsewhere; only their UDP
// sockets are not real.
//
// A [Cluster] puts a Pastry node on each host, makes the nodes join, crashes some
// of them, splits and heals their network, and waits until the ring has settled.
// An [Oracle] knows what is true of the ring meanwhile: the root and the replicas
// of a key, and what each leaf set must hold.
//
// A [Subject] is any routing.Routing that the conformance suite is run against:
// [Conformance] checks, case by case, what the callers of a router rely on.
//
// Use networks and clusters inside a testing/synctest bubble, where time is
// virtual: an hour of silence costs no more than what the hosts do in it.
// [WithCluster] does so. Create and close a network within the bubble:
//
//	synctest.Test(t, func(t *testing.T) {
//		nw, err := testutil.NewNetwork(testutil.NetworkConfig{Seed: 1})
//		if err != nil {
//			t.Fatal(err)
//		}
//		defer nw.Close()
//		a, err := nw.NewHost()
//		...
//	})
//
// Outside a bubble it works too, in real time. Identities, addresses, latencies
// and regions repeat with the seed; the order in which goroutines run does not.
package testutil
