package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"github.com/spf13/cobra"

	"github.com/secondbit/pastry"
)

// demoConfig holds the numbers of a demo, one for each flag.
type demoConfig struct {
	nodes, messages, kill, finders int
	dir                            string
	maxFiles                       int
	maxSize                        int64 // bytes
	seed                           uint64
	concurrency                    int
	leafSet, replication           int
	heartbeat                      time.Duration
	joinTimeout, messageTimeout    time.Duration
	fileTimeout, repairTimeout     time.Duration
	json                           bool
}

const demoLong = `Demo starts a cluster of real libp2p hosts on loopback in this process, half of
them on TCP and half on QUIC, and checks that it keeps its promises:

 1. Every host joins through a random one that has joined before.
 2. Messages to random keys, from random nodes, must each be delivered once, by
    the node that is closest to the key among all of them.
 3. Every file below -dir is announced, by the CID of its content, from one node
    and must be found from others.
 4. Some hosts fall silent at once, as if their power were cut: nobody says
    goodbye and no connection is closed. Messages and files are checked right
    away, and again when all leaf sets are exact.

A table, or with -json one JSON object, says how that went. The exit status is 1
if anything was lost. The same -seed gives the same identities, keys and victims.`

func newDemoCommand() *cobra.Command {
	var c demoConfig
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run a cluster in this process, break it, and check that nothing is lost",
		Long:  demoLong,
		Example: `  pastry demo
  pastry demo -dir /usr/share/doc -nodes 64 -kill 16
  pastry demo -json -seed 7 | jq .mean_hops`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runDemo(cmd.Context(), c, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	c.addFlags(cmd)
	return cmd
}

func (c *demoConfig) addFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.SortFlags = false
	f.IntVar(&c.nodes, "nodes", 32, "hosts in the cluster")
	f.IntVar(&c.messages, "messages", 1000, "messages in each of the three checks")
	f.IntVar(&c.kill, "kill", 8, "hosts to silence")
	f.StringVar(&c.dir, "dir", ".", "directory whose files are announced")
	f.IntVar(&c.maxFiles, "max-files", 1000, "announce at most so many files")
	f.Int64Var(&c.maxSize, "max-size", 64<<20, "pass over files of more bytes")
	f.IntVar(&c.finders, "finders", 3, "nodes that look for each file")
	f.Uint64Var(&c.seed, "seed", 0, "seed of everything random; 0 draws one")
	f.IntVar(&c.concurrency, "concurrency", 32, "messages, and lookups, under way at once")
	f.IntVar(&c.leafSet, "leafset", 24, "size of the leaf set")
	f.IntVar(&c.replication, "replication", 8, "nodes that hold a record")
	f.DurationVar(&c.heartbeat, "heartbeat", 5*time.Second, "time between two signs of life to a neighbour")
	f.DurationVar(&c.joinTimeout, "join-timeout", 30*time.Second, "longest wait for one host to join")
	f.DurationVar(&c.messageTimeout, "message-timeout", 15*time.Second, "a message without a receipt is lost after this time")
	f.DurationVar(&c.fileTimeout, "file-timeout", 15*time.Second, "longest wait for one announcement or lookup")
	f.DurationVar(&c.repairTimeout, "repair-timeout", time.Minute, "longest wait for exact leaf sets")
	f.BoolVar(&c.json, "json", false, "print one JSON object instead of a table")
	_ = cmd.MarkFlagDirname("dir") // fails only for an unknown flag
}

// validate reports every number that cannot be used at once.
func (c *demoConfig) validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(c.nodes >= 2, "-nodes %d: give at least 2", c.nodes)
	check(c.messages >= 0, "-messages %d: give 0 or more", c.messages)
	check(c.kill >= 0, "-kill %d: give 0 or more", c.kill)
	check(c.kill <= c.nodes-2 || c.nodes < 2, "-kill %d of -nodes %d: at least 2 must survive; kill at most %d", c.kill, c.nodes, c.nodes-2)
	check(c.finders >= 1, "-finders %d: give at least 1", c.finders)
	check(c.finders < c.nodes-c.kill || c.nodes-c.kill < 2,
		"-finders %d: only %d nodes beside the provider may be left; give at most that", c.finders, c.nodes-c.kill-1)
	check(c.maxFiles >= 0, "-max-files %d: give 0 or more", c.maxFiles)
	check(c.concurrency >= 1, "-concurrency %d: give at least 1", c.concurrency)
	for _, d := range []struct {
		flag string
		d    time.Duration
	}{{"join", c.joinTimeout}, {"message", c.messageTimeout}, {"file", c.fileTimeout}, {"repair", c.repairTimeout}} {
		check(d.d > 0, "-%s-timeout %v: give a positive time such as 10s", d.flag, d.d)
	}
	return errors.Join(errs...)
}

// options returns how every node of the demo is set up.
func (c *demoConfig) options() []pastry.Option {
	return []pastry.Option{
		pastry.WithMode(pastry.ModeServer),
		pastry.WithLeafSetSize(c.leafSet),
		pastry.WithReplication(c.replication),
		pastry.WithHeartbeat(c.heartbeat),
	}
}

// A demo is one run.
type demo struct {
	demoConfig
	rng     *rand.Rand // used by the goroutine that runs the steps, only
	steps   *progress
	cluster *cluster
	ledger  *ledger
	files   []*file
	report  report
}

func runDemo(ctx context.Context, c demoConfig, stdout, stderr io.Writer) error {
	if err := c.validate(); err != nil {
		return err
	}
	if c.seed == 0 {
		c.seed = 1 + uint64(rand.Uint32())
	}
	d := &demo{demoConfig: c, rng: rand.New(rand.NewPCG(c.seed, 0)), steps: newProgress(stderr), ledger: newLedger()}
	start := time.Now()
	err := d.run(ctx)
	if ctx.Err() != nil {
		return errors.New("interrupted; everything was shut down")
	}
	if err != nil {
		return err
	}
	if err := d.summarize(time.Since(start)).print(stdout, c.json); err != nil {
		return err
	}
	return d.verdict()
}

// run takes all the steps. What gets lost goes into the report; an error means
// that the demo could not be held. All hosts are closed when it returns.
func (d *demo) run(ctx context.Context) error {
	if err := d.scan(ctx); err != nil {
		return err
	}
	d.cluster = new(cluster)
	defer d.closeCluster()
	for _, step := range []func(context.Context) error{d.start, d.join, d.route, d.provide, d.find, d.breakAndRepair} {
		if err := cmp.Or(step(ctx), ctx.Err()); err != nil {
			return err
		}
	}
	return nil
}

// route checks messages while all members live.
func (d *demo) route(ctx context.Context) error {
	d.report.before = d.check(ctx, "route", d.planMessages("before"), nil)
	return nil
}

// find checks files while all members live.
func (d *demo) find(ctx context.Context) error {
	d.report.foundBefore = d.check(ctx, "find", nil, d.planLookups())
	return nil
}

// breakAndRepair silences the victims and checks everything at once, and again
// when the leaf sets are exact: the same keys from the same nodes.
func (d *demo) breakAndRepair(ctx context.Context) error {
	victims := d.cluster.pick(d.rng, d.kill, nil)
	d.cluster.bury(victims)
	messages, lookups := d.planMessages("at once"), d.planLookups()
	watch, err := watchRepair(d.cluster, d.leafSet)
	if err != nil {
		return err
	}
	defer watch.stop()
	watching, cancel := context.WithCancel(ctx)
	defer cancel()

	d.cluster.silence(victims)
	d.report.killed = len(victims)
	watch.work.Go(func() { watch.run(watching) })
	d.report.atOnce = d.check(ctx, "at once", messages, lookups)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	d.report.repair = d.awaitRepair(ctx, watch)
	d.report.repaired = d.check(ctx, "repaired", again("repaired", messages), d.planLookups())
	return nil
}
