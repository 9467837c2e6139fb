package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/spf13/cobra"
)

// findProvsConfig holds the flags of the findprovs command.
type findProvsConfig struct {
	callFlags
	count int
}

func newFindProvsCommand() *cobra.Command {
	var c findProvsConfig
	cmd := &cobra.Command{
		Use:   "findprovs CID",
		Short: "Print who provides a content",
		Long: `Findprovs asks the ring, through the running node, for peers that provide a
content. It prints them as they come, each with the addresses it signed. If there
is none, the exit status is 1.

With -json, each is one line.`,
		Example: `  pastry findprovs bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy
  pastry findprovs -n 1 -json bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy | jq -r .peer`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return c.run(cmd, args[0]) },
	}
	cmd.Flags().SortFlags = false
	cmd.Flags().IntVarP(&c.count, "count", "n", 20, "at most so many; 0 for all")
	c.add(cmd, defaultTimeout)
	return cmd
}

func (c *findProvsConfig) run(cmd *cobra.Command, arg string) error {
	limit, err := c.limit()
	if err != nil {
		return err
	}
	content, err := cid.Decode(arg)
	if err != nil {
		return fmt.Errorf("%q is no CID: %w; \"pastry provide FILE\" prints that of a file", arg, err)
	}
	if c.count < 0 {
		return fmt.Errorf("-n %d: give the number of providers wanted, or 0 for all", c.count)
	}
	return follow(cmd.Context(), &c.callFlags, "/findprovs", findProvsRequest{timeLimit: limit, CID: content, Count: c.count},
		func(p provider) error {
			if c.json {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(p)
			}
			return p.print(cmd.OutOrStdout())
		})
}

// print prints the peer, and its addresses below.
func (p *provider) print(w io.Writer) error {
	if _, err := fmt.Fprintln(w, p.Peer); err != nil {
		return err
	}
	for _, a := range p.Addrs {
		if _, err := fmt.Fprintf(w, "  %s\n", a); err != nil {
			return err
		}
	}
	return nil
}

func newFindPeerCommand() *cobra.Command {
	var c callFlags
	cmd := &cobra.Command{
		Use:   "findpeer PEERID",
		Short: "Print the addresses of a peer",
		Long: `Findpeer asks the ring, through the running node, for the addresses of a peer. If
nobody knows any, the exit status is 1.`,
		Example: `  pastry findpeer 12D3KooWJ5wRTJtXrLsH8HaFgLTt4rrzwRWqKnPgZNdrX2tVbHJ4
  pastry findpeer -json 12D3KooWJ5wRTJtXrLsH8HaFgLTt4rrzwRWqKnPgZNdrX2tVbHJ4 | jq -r '.addrs[]'`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return c.findPeer(cmd, args[0]) },
	}
	cmd.Flags().SortFlags = false
	c.add(cmd, defaultTimeout)
	return cmd
}

func (c *callFlags) findPeer(cmd *cobra.Command, arg string) error {
	limit, err := c.limit()
	if err != nil {
		return err
	}
	id, err := peer.Decode(arg)
	if err != nil {
		return fmt.Errorf("%q is no peer ID: %w; \"pastry info\" prints some", arg, err)
	}
	var found provider
	if err := c.ask(cmd.Context(), "/findpeer", findPeerRequest{timeLimit: limit, Peer: id}, &found); err != nil {
		return err
	}
	if c.json {
		return printJSON(cmd.OutOrStdout(), found)
	}
	return found.print(cmd.OutOrStdout())
}
