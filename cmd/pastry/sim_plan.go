package main

import "time"

// simEntries is the plan of "pastry sim all": what docs/figures shows, cheap entries
// first. The estimates are for two cores.
var simEntries = []planEntry{
	{
		name: "unclaimed", title: "Keys of a dead node",
		text: `How long the keys of a node that falls silent have no root: found out by heartbeats and probes alone, and with
messages for these keys that help to find out.`,
		lines:    []string{"unclaimed -passive", "unclaimed"},
		estimate: 6 * time.Minute,
	},
	{
		name: "split", title: "A split network",
		text:     `The network falls into two halves and heals: which lookups go wrong, and how soon the ring is one again.`,
		lines:    []string{"split -sweep for=1m,2m,5m,10m"},
		estimate: 4 * time.Minute,
	},
	{
		name: "skew", title: "Popular keys",
		text:     `Lookups of keys of which few are wanted often: how evenly the nodes share the work.`,
		lines:    []string{"skew -nodes 2000 -sweep zipf=0,0.8,1.1"},
		estimate: 2 * time.Minute,
	},
	{
		name: "failures", title: "A tenth falls silent",
		text:     `A tenth of 5,000 nodes falls silent at once: lookups of random keys before, right after, and when all is repaired.`,
		lines:    []string{"failures"},
		estimate: 3 * time.Minute,
	},
	{
		name: "replicas", title: "The nearest replica",
		text: `How often a lookup reaches the nearest of five replicas of its key: among 10,000 nodes on the plane, and among 1,000
in the regions of a cloud.`,
		lines:    []string{"replicas -settle 1h", "replicas -nodes 1000 -topology regions -settle 1h"},
		estimate: 6 * time.Minute,
	},
	{
		name: "flash", title: "A flash crowd",
		text:     `5,000 nodes join a ring of 5,000 within a minute.`,
		lines:    []string{"flash"},
		estimate: 8 * time.Minute,
	},
	{
		name: "topologies", title: "Routes on other networks",
		text: `The same ring on a random plane, on a sphere with access links, and with round trips measured between regions
of a cloud.`,
		lines:    []string{"hops -nodes 2000 -sweep topology=plane,sphere,regions"},
		estimate: 2 * time.Minute,
	},
	{
		name: "records", title: "Records under churn",
		text:     `What becomes of records in 24 hours of churn with sessions of an hour, without anybody publishing them again.`,
		lines:    []string{"records -nodes 300 -records 3000"},
		estimate: 12 * time.Minute,
	},
	{
		name: "hops", title: "Hops and stretch",
		text:     `Lookups from node to node, each ring built by the joins of all its nodes.`,
		lines:    []string{"hops -seed 7 -settle 1h -sweep nodes=1000,5000,10000,20000"},
		estimate: 30 * time.Minute,
	},
	{
		name: "scale", title: "A hundred thousand joins, quickly",
		text: `Lookups from node to node in a ring that 100,000 nodes joined, without network coordinates, which would take half
as much time and memory again: tables hold the first node that fitted rather than a near one.`,
		lines:    []string{"hops -seed 7 -nodes 100000 -coordinates=false -settle 0s"},
		estimate: 7 * time.Minute,
		gogc:     70,
	},
	{
		name: "large", title: "A hundred thousand nodes",
		text:     `Lookups from node to node in a ring that 100,000 nodes joined, as nodes behind a host do.`,
		lines:    []string{"hops -seed 7 -settle 1h -nodes 100000 -lookups 200000"},
		estimate: 90 * time.Minute,
		gogc:     100,
		with:     []string{"hops"},
	},
	{
		name: "perfect", title: "A million nodes",
		text:     `Lookups from node to node in a ring that no joins built: every node starts with perfect tables.`,
		lines:    []string{"hops -perfect -nodes 1000000 -settle 0s -lookups 5000"},
		estimate: 10 * time.Minute,
		with:     []string{"hops", "large"},
	},
	{
		name: "traffic", title: "What looking after a ring costs",
		text: `Control packets at the sessions of the Gnutella trace, 2.3 hours in the mean, after an hour of them; with
heartbeats as they are, and as seldom as those of MSPastry.`,
		lines:    []string{"churn -session 138m -warmup 1h -lookups 60000 -sweep heartbeat=5s,30s"},
		estimate: 25 * time.Minute,
	},
	{
		name: "churn", title: "Churn",
		text: `1,000 nodes that come and go, after an hour of that, with sessions from five minutes to ten hours, on a network
that loses nothing.`,
		lines:    []string{"churn -nodes 1000 -warmup 1h -lookups 20000 -rate 0.1 -sweep session=5m,15m,30m,1h,2h,10h"},
		estimate: 10 * time.Minute,
	},
	{
		name: "consistency", title: "A million lookups under churn",
		text: `10,000 nodes with sessions of half an hour and longer: how many lookups of a million are lost, or delivered by a
node that is not the root; and of a hundred thousand at MSPastry's rate, which take longer.`,
		lines:    []string{"churn -lookups 1000000 -rate 0.2 -warmup 5m -sweep session=30m,1h,2h,10h", "churn"},
		estimate: 45 * time.Minute,
	},
	{
		name: "lossy", title: "A million lookups under churn and loss",
		text:     `10,000 nodes with sessions of half an hour, where one packet in twenty is lost.`,
		lines:    []string{"churn -lookups 1000000 -rate 0.2 -warmup 5m -loss 0.05"},
		estimate: 15 * time.Minute,
	},
}
