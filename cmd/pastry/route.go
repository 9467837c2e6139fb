package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/spf13/cobra"

	"github.com/secondbit/pastry/ring"
)

// routeConfig holds the flags of the route command.
type routeConfig struct {
	callFlags
	id      bool
	nearest int
}

func newRouteCommand() *cobra.Command {
	var c routeConfig
	cmd := &cobra.Command{
		Use:   "route KEY [PAYLOAD]",
		Short: "Send a message from the running node to the root of a key",
		Long: `Route makes the running node send a message to the node that is closest to KEY,
which answers who it is. KEY is any text, placed on the ring by its hash. With
-nearest K, any of the K nodes closest to KEY may answer, the one nearest to the
running node if it can be told.`,
		Example: `  pastry route hello
  pastry route hello "some payload" -json
  pastry route hello -nearest 5
  pastry route -id 2cf24dba5fb0a30e26e83b2ac5b9e29e`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.run(cmd, args[0], strings.Join(args[1:], ""))
		},
	}
	cmd.Flags().SortFlags = false
	cmd.Flags().BoolVar(&c.id, "id", false, "KEY is a point on the ring, in 32 hexadecimal digits")
	cmd.Flags().IntVar(&c.nearest, "nearest", 1, "of how many nodes the nearest is to answer, at most half the leaf set and one")
	c.add(cmd, 10*time.Second)
	return cmd
}

func (c *routeConfig) run(cmd *cobra.Command, key, payload string) error {
	id, err := c.parse(key)
	if err != nil {
		return err
	}
	limit, err := c.limit()
	if err != nil {
		return err
	}
	var r routeReply
	if err := c.ask(cmd.Context(), "/route", routeRequest{timeLimit: limit, Key: id, Payload: payload, Nearest: c.nearest}, &r); err != nil {
		return err
	}
	if c.json {
		return printJSON(cmd.OutOrStdout(), r)
	}
	return r.print(cmd.OutOrStdout(), c.nearest)
}

// parse returns the point on the ring that the argument means.
func (c *routeConfig) parse(key string) (ring.ID, error) {
	if !c.id {
		return ring.FromKey([]byte(key)), nil
	}
	id, err := ring.Parse(key)
	if err != nil {
		return id, fmt.Errorf("%w; without -id, KEY may be any text", err)
	}
	return id, nil
}

func (r *routeReply) print(w io.Writer, nearest int) error {
	by := "root"
	if nearest > 1 {
		by = fmt.Sprintf("nearest of %d", nearest)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "key\t%s\n", r.Key)
	fmt.Fprintf(t, "%s\t%s\n", by, r.Root)
	fmt.Fprintf(t, "its id\t%s\n", r.Reply.ID)
	if r.Reply.Region != "" {
		fmt.Fprintf(t, "region\t%s\n", r.Reply.Region)
	}
	fmt.Fprintf(t, "hops\t%d\n", r.Hops)
	if r.Hops > 0 {
		fmt.Fprintf(t, "path\t%s\n", joinPeers(r.Path, " → "))
	}
	fmt.Fprintf(t, "round trip\t%.3f ms\n", r.RTT)
	if r.Reply.Payload != "" {
		fmt.Fprintf(t, "payload\t%q\n", r.Reply.Payload)
	}
	return t.Flush()
}

func joinPeers(ps []peer.ID, sep string) string {
	parts := make([]string, len(ps))
	for i, p := range ps {
		parts[i] = p.String()
	}
	return strings.Join(parts, sep)
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
