package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"
)

// defaultTimeout is the longest wait of commands about one thing.
const defaultTimeout = 30 * time.Second

// getConfig holds the flags of the get command.
type getConfig struct {
	callFlags
	quorum int
}

func newGetCommand() *cobra.Command {
	var c getConfig
	cmd := &cobra.Command{
		Use:   "get KEY",
		Short: "Print a value that is stored in the ring",
		Long: `Get asks the ring, through the running node, for the best value under KEY and
prints it as it is. KEY is what it was put under, see "pastry put -help". If there
is none, the exit status is 1.

The members that hold a key know when their copies are the same as those of the
others, and then one of them answers. -quorum makes the node hear more of them.

With -json, the value is in base64.`,
		Example: `  pastry get /app/greeting
  pastry get /app/picture > picture.png
  pastry get /app/greeting -json | jq -r .value | base64 -d`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return c.run(cmd, args[0]) },
	}
	cmd.Flags().SortFlags = false
	cmd.Flags().IntVar(&c.quorum, "quorum", 0, "members that must be heard, 0 for all that hold the key; default one that is sure")
	c.add(cmd, defaultTimeout)
	return cmd
}

func (c *getConfig) run(cmd *cobra.Command, key string) error {
	limit, err := c.limit()
	if err != nil {
		return err
	}
	if _, err := parseValueKey(key); err != nil {
		return err
	}
	req := getRequest{timeLimit: limit, Key: key}
	if cmd.Flags().Changed("quorum") {
		if c.quorum < 0 {
			return fmt.Errorf("-quorum %d: give a number of members, or 0 for all", c.quorum)
		}
		req.Quorum = &c.quorum
	}
	var reply getReply
	if err := c.ask(cmd.Context(), "/get", req, &reply); err != nil {
		return err
	}
	if c.json {
		return printJSON(cmd.OutOrStdout(), reply)
	}
	_, err = cmd.OutOrStdout().Write(reply.Value)
	return err
}
