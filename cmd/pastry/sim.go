package main

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/secondbit/pastry/internal/experiment"
)

const simLong = `Sim runs an experiment on a simulated ring: the very state machine that a host
runs, thousands of times over, in virtual time on a simulated network.

The same -seed gives the same figures. A table, or with -json one JSON object,
says what was measured and, where there is one, the figure in the literature.

-sweep name=value,... runs an experiment once for each value of a parameter; given
several times, once for each combination. The table then has a column for each run
and -json prints an array.`

func newSimCommand(experiments []experiment.Experiment, plan []planEntry) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sim",
		Short: "Run experiments on a simulated ring",
		Long:  simLong,
		Example: `  pastry sim                            # the experiments
  pastry sim hops -nodes 10000 -leafset 16 -seed 7 -json
  pastry sim hops -sweep nodes=1000,2000,5000 -plot /tmp
  pastry sim all -list                  # what docs/figures is made of`,
		SuggestionsMinimumDistance: 2,
		// So that an unknown experiment is told before its flags are.
		FParseErrWhitelist: cobra.FParseErrWhitelist{UnknownFlags: true},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownExperiment(cmd, args[0])
			}
			return listExperiments(cmd, experiments)
		},
	}
	for _, e := range experiments {
		cmd.AddCommand(newExperimentCommand(e))
	}
	cmd.AddCommand(newSimAllCommand(experiments, plan))
	return cmd
}

// unknownExperiment returns an error that says which experiment may be meant.
func unknownExperiment(cmd *cobra.Command, name string) error {
	var hint string
	if near := cmd.SuggestionsFor(name); len(near) > 0 {
		hint = fmt.Sprintf("; did you mean %s?", strings.Join(near, " or "))
	}
	return fmt.Errorf("no experiment %q%s; %q lists them", name, hint, cmd.CommandPath())
}

func listExperiments(cmd *cobra.Command, experiments []experiment.Experiment) error {
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 3, ' ', 0)
	for _, e := range experiments {
		fmt.Fprintf(w, "%s\t%s\n", e.Name, e.Short)
	}
	fmt.Fprintf(w, "all\t%s\n", simAllShort)
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "\n%q says what an experiment does and takes.\n", cmd.CommandPath()+" EXPERIMENT -help")
	return err
}

// simConfig is what an experiment's command takes beside the parameters of the
// experiment.
type simConfig struct {
	sweeps []string
	runs   int
	plot   string
	json   bool
	quiet  bool
}

// addFlags adds the flags, but for those whose name is a parameter's.
func (c *simConfig) addFlags(to *pflag.FlagSet) {
	fs := pflag.NewFlagSet("", pflag.ContinueOnError)
	fs.SortFlags = false
	c.addSweepFlags(fs)
	fs.StringVar(&c.plot, "plot", "", "directory to which the figures are written, as SVG and PNG")
	fs.BoolVar(&c.json, "json", false, "print one JSON object, or an array, instead of a table")
	fs.BoolVar(&c.quiet, "quiet", false, "show no progress")
	to.AddFlagSet(fs)
}

// addSweepFlags adds the flags that say which runs there are.
func (c *simConfig) addSweepFlags(fs *pflag.FlagSet) {
	fs.StringArrayVar(&c.sweeps, "sweep", nil, "run once for each value: name=value,... of any parameter; may be given again")
	fs.IntVar(&c.runs, "runs", 1, "run so often, each time with the next seed")
}

func newExperimentCommand(e experiment.Experiment) *cobra.Command {
	var c simConfig
	cmd := &cobra.Command{
		Use:     e.Name,
		Short:   e.Short,
		Long:    e.Long,
		Args:    cobra.NoArgs,
		Example: fmt.Sprintf("  pastry sim %s -seed 7 -json\n  pastry sim %s -sweep nodes=500,1000,2000", e.Name, e.Name),
	}
	parameters := cmd.Flags()
	parameters.SortFlags = false
	e.New().Flags(parameters)
	c.addFlags(parameters)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		b, err := newBatch(e, cmd.Flags(), c.sweeps, c.runs)
		if err != nil {
			return err
		}
		return c.run(cmd, b)
	}
	_ = cmd.MarkFlagDirname("plot") // fails only for an unknown flag
	return cmd
}
