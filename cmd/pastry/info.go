package main

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/secondbit/pastry"
)

func newInfoCommand() *cobra.Command {
	var asJSON bool
	var control string
	cmd := &cobra.Command{
		Use:   "info",
		Short: "Show the leaf set and the routing table of the running node",
		Example: `  pastry info
  pastry info -json | jq '.larger[].peer'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			socket, err := controlPath(control)
			if err != nil {
				return err
			}
			var info pastry.Info
			if err := ask(cmd.Context(), socket, "/info", nil, &info); err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), info)
			}
			return printInfo(cmd.OutOrStdout(), &info)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().StringVar(&control, "control", "", "socket of the node; default is that of the node started last")
	return cmd
}

func printInfo(w io.Writer, info *pastry.Info) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "id\t%s\npeer\t%s\nstate\t%s\n", info.ID, info.Peer, info.State)
	if info.Region != "" {
		fmt.Fprintf(t, "region\t%s\n", info.Region)
	}
	fmt.Fprintf(t, "ring size\tabout %.0f\n", info.RingSize)
	for _, a := range info.Addrs {
		fmt.Fprintf(t, "address\t%s\n", a)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if err := printLeaves(w, info); err != nil {
		return err
	}
	if err := printRows(w, info); err != nil {
		return err
	}
	return printContacts(w, "neighborhood set", info.Neighborhood)
}

// printLeaves prints the leaf set going up the ring, the node itself in between.
func printLeaves(w io.Writer, info *pastry.Info) error {
	t := section(w, "leaf set, %d smaller and %d larger", len(info.Smaller), len(info.Larger))
	for i := len(info.Smaller) - 1; i >= 0; i-- {
		fmt.Fprintf(t, "  %d\t%s\n", -i-1, contactCells(info.Smaller[i]))
	}
	fmt.Fprintf(t, "  0\t%s\t%s\t(this node)\t%s\n", info.ID, info.Peer, info.Region)
	for i, c := range info.Larger {
		fmt.Fprintf(t, "  +%d\t%s\n", i+1, contactCells(c))
	}
	return t.Flush()
}

// printRows prints the routing table, one line an entry.
func printRows(w io.Writer, info *pastry.Info) error {
	entries := 0
	for _, row := range info.Rows {
		entries += len(row)
	}
	t := section(w, "routing table, %d entries by shared digits and next digit", entries)
	for i, row := range info.Rows {
		for _, e := range row {
			fmt.Fprintf(t, "  %d.%x\t%s\n", i, e.Column, contactCells(e.InfoContact))
		}
	}
	return t.Flush()
}

func printContacts(w io.Writer, title string, cs []pastry.InfoContact) error {
	t := section(w, "%s, %d by round trip", title, len(cs))
	for i, c := range cs {
		fmt.Fprintf(t, "  %d\t%s\n", i+1, contactCells(c))
	}
	return t.Flush()
}

func section(w io.Writer, format string, args ...any) *tabwriter.Writer {
	fmt.Fprintf(w, "\n"+format+"\n", args...)
	return tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
}

func contactCells(c pastry.InfoContact) string {
	rtt := "-"
	if c.RTT > 0 {
		rtt = c.RTT.Round(time.Microsecond).String()
	}
	return fmt.Sprintf("%s\t%s\t%s\t%s", c.ID, c.Peer, rtt, c.Region)
}
