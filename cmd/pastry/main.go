// Command pastry shows, runs and asks Pastry nodes. See "pastry help".
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/secondbit/pastry/internal/experiment"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // so that a second signal ends the process at once
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run carries out one command line, without the program's name, and returns the
// exit status.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return execute(ctx, newRoot(), args, stdin, stdout, stderr)
}

// execute carries out a command line of root.
func execute(ctx context.Context, root *cobra.Command, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root.SetArgs(normalizeArgs(root, args))
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	if err := root.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(stderr, "pastry:", strings.TrimPrefix(err.Error(), "pastry: "))
		return 1
	}
	return 0
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "pastry",
		Short: "A Pastry overlay on libp2p hosts",
		Long: `Pastry runs and examines nodes of a Pastry overlay: libp2p hosts that order
themselves on a ring and pass messages towards the node closest to a key.

Flags may be written with one dash or two.`,
		Example: `  pastry demo                           # a cluster in this process, checked and broken
  pastry node                           # the first node of a ring
  pastry node -join /ip4/127.0.0.1/tcp/4001/p2p/12D3KooW...
  pastry route hello                    # who is responsible for the key "hello"?
  pastry info                           # leaf set and routing table
  pastry provide picture.png            # tell the ring who has it
  pastry findprovs bafkrei...           # who has it?
  pastry put /app/greeting hello        # with nodes that run with -namespace app
  pastry get /app/greeting
  pastry sim hops -nodes 1000           # an experiment on a simulated ring`,
		Version:       version(),
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return fmt.Errorf("%w; %q lists the flags", err, cmd.CommandPath()+" -help")
	})
	root.AddCommand(newDemoCommand(), newNodeCommand(), newRouteCommand(), newInfoCommand(),
		newPutCommand(), newGetCommand(), newProvideCommand(), newFindProvsCommand(), newFindPeerCommand(),
		newSimCommand(experiment.All(), simEntries))
	return root
}

// version returns the module's version, and the revision it was built from if
// the binary knows it.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && !strings.Contains(v, s.Value[:min(12, len(s.Value))]) {
			v += " " + s.Value
		}
	}
	return v + " " + info.GoVersion
}
