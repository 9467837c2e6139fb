package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"

	"github.com/secondbit/pastry"
)

// nodeConfig holds the flags of the node command.
type nodeConfig struct {
	listen, join   []string
	key, store     string
	namespaces     []string
	region, mode   string
	lan            bool
	prefix         string
	passphraseFile string
	psk            string
	metrics        string
	control        string
}

const nodeLong = `Node runs one node until it is interrupted, and then leaves the ring properly.
Without -join it is the first node of a ring; others join it with one of the
addresses it prints. Without -listen it listens at any port on loopback, and with
-lan on all IPv4 addresses.

"pastry info", "route", "put", "get", "provide", "findprovs" and "findpeer" talk
to it through a socket that only this user may open. They find the node that was
started last by themselves; name the socket of another with -control.

With -store the node keeps in a directory what it holds for the ring, the members
it knows, its ports and, unless -key names a file for that, its key. When it
starts again it needs no -join: it comes back to the same place with all it had,
after a crash too, and even if all members have crashed at once. Without -store it
keeps everything in memory, and without either it has a new identity, and so
another place on the ring, each time.

Values can be put under keys like /pk/... and /ipns/..., if they are what belongs
there. -namespace app adds keys like /app/... for any value of up to 64 KiB; of
two values the one that "pastry put" put last wins. Whoever is in the ring may
replace a value. Give all members the same -namespace: the others refuse the
values, and cannot hold them.

-lan is for members that reach each other in a local network: it makes the node
a member although nobody outside can reach it, under the prefix /lan if -prefix
names no other. -psk is for a private network of libp2p: hosts without the same
key cannot even connect. It works over TCP only.

What happens is logged on standard error; GOLOG_LOG_LEVEL=debug tells more.`

func newNodeCommand() *cobra.Command {
	var c nodeConfig
	cmd := &cobra.Command{
		Use:   "node",
		Short: "Run one node until interrupted",
		Long:  nodeLong,
		Example: `  pastry node
  pastry node -join /ip4/127.0.0.1/tcp/4001/p2p/12D3KooW...
  pastry node -store /var/lib/pastry -namespace app
  pastry node -lan -psk swarm.key -store /var/lib/pastry
  pastry node -listen /ip4/0.0.0.0/udp/4001/quic-v1 -key node.key -region eu-west -metrics :9090`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runNode(cmd.Context(), c, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringArrayVar(&c.listen, "listen", nil, "address to listen on, a multiaddr; repeatable; default TCP and QUIC at any port")
	f.StringArrayVar(&c.join, "join", nil, "address of a member, a multiaddr that ends in /p2p/<peer ID>; repeatable")
	f.StringVar(&c.store, "store", "", "directory for what the node must not forget, made if missing; default memory")
	f.StringVar(&c.key, "key", "", "file of the private key, made if missing; default in the -store, if there is one")
	f.StringArrayVar(&c.namespaces, "namespace", nil, "name before values of any kind, such as app for keys like /app/...; repeatable")
	f.StringVar(&c.region, "region", "", "name of the place the node runs in")
	f.StringVar(&c.mode, "mode", "", "auto, server or client: whether to be a member of the ring; default auto, or server with -lan")
	f.BoolVar(&c.lan, "lan", false, "for a local network")
	f.StringVar(&c.prefix, "prefix", "", "put before the protocol ID, such as /my-cluster; keeps rings apart")
	f.StringVar(&c.passphraseFile, "passphrase-file", "", "file with the passphrase that all members share")
	f.StringVar(&c.psk, "psk", "", "file with the key of a private network, such as the swarm.key of IPFS nodes")
	f.StringVar(&c.metrics, "metrics", "", "serve Prometheus metrics at this address, on loopback if it has no host")
	f.StringVar(&c.control, "control", "", "socket for the other commands; default "+controlHelp)
	_ = cmd.RegisterFlagCompletionFunc("mode", cobra.FixedCompletions([]string{"auto", "server", "client"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// runNode runs a node until ctx ends.
func runNode(ctx context.Context, c nodeConfig, stdout, stderr io.Writer) (err error) {
	seeds, err := c.seeds()
	if err != nil {
		return err
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	r, err := c.build(ctx, registry)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.close()) }()

	logger := slog.New(slog.NewTextHandler(stderr, nil))
	stopLog, err := logEvents(r.host, logger)
	if err != nil {
		return err
	}
	defer stopLog()
	stopServers, err := c.serve(r.node, registry, stdout)
	if err != nil {
		return err
	}
	defer stopServers()

	if err := joinRing(ctx, r.node, seeds, logger, stdout); err != nil {
		return err
	}
	<-ctx.Done()
	fmt.Fprintln(stdout, "leaving")
	return nil
}

// serve starts what others can ask of the node, prints where, and returns what
// stops it.
func (c *nodeConfig) serve(n *pastry.Node, registry *prometheus.Registry, stdout io.Writer) (stop func(), err error) {
	if err := n.Register(whoamiApp, whoami{node: n, region: c.region}); err != nil {
		return nil, err
	}
	control, err := serveControl(n, c.control, c.namespaces)
	if err != nil {
		return nil, err
	}
	stop = control.close
	fmt.Fprintf(stdout, "peer     %s\nid       %s\n", n.Host().ID(), n.ID())
	for _, a := range n.Host().Addrs() {
		fmt.Fprintf(stdout, "address  %s/p2p/%s\n", a, n.Host().ID())
	}
	if c.store != "" {
		fmt.Fprintf(stdout, "store    %s\n", c.store)
	}
	fmt.Fprintf(stdout, "control  %s\n", control.path)
	if c.metrics != "" {
		metrics, err := serveMetrics(c.metrics, registry)
		if err != nil {
			control.close()
			return nil, err
		}
		fmt.Fprintf(stdout, "metrics  http://%s/metrics\n", metrics.addr)
		stop = func() { metrics.close(); control.close() }
	}
	return stop, nil
}

// joinPatience is the time between two reports of a join that does not succeed.
const joinPatience = 10 * time.Second

// joinRing waits until the node is part of a ring, however long that takes, or
// ctx ends. Meanwhile it reports what goes wrong.
func joinRing(ctx context.Context, n *pastry.Node, seeds []peer.AddrInfo, logger *slog.Logger, stdout io.Writer) error {
	start := time.Now()
	for ctx.Err() == nil {
		err := joinFor(ctx, joinPatience, n, seeds)
		switch {
		case err == nil:
			fmt.Fprintf(stdout, "joined in %d ms\n", time.Since(start).Milliseconds())
			return nil
		case ctx.Err() == nil && !errors.Is(err, context.DeadlineExceeded):
			return err
		case ctx.Err() == nil:
			logger.Warn("not joined yet, trying on; check that -join names a running member", "error", err)
		}
	}
	return nil
}

func joinFor(ctx context.Context, d time.Duration, n *pastry.Node, seeds []peer.AddrInfo) error {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	return n.Join(ctx, seeds...)
}

// logEvents logs what the node tells on its host's event bus, until stop.
func logEvents(h host.Host, logger *slog.Logger) (stop func(), err error) {
	sub, err := h.EventBus().Subscribe([]any{new(pastry.EvtStateChanged), new(pastry.EvtNodeJoined),
		new(pastry.EvtNodeGone), new(pastry.EvtError)})
	if err != nil {
		return nil, err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for e := range sub.Out() {
			logEvent(logger, e)
		}
	}()
	return func() { _ = sub.Close(); <-done }, nil
}

func logEvent(logger *slog.Logger, e any) {
	switch e := e.(type) {
	case pastry.EvtStateChanged:
		logger.Info("state", "state", e.State)
	case pastry.EvtNodeJoined:
		logger.Info("new leaf", "peer", e.Peer)
	case pastry.EvtNodeGone:
		logger.Info("node gone", "peer", e.Peer, "said_goodbye", e.Left)
	case pastry.EvtError:
		logger.Warn("trouble", "peer", e.Peer, "error", e.Err)
	}
}
