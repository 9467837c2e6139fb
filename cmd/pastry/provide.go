package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/spf13/cobra"
)

// maxProvided is how many CIDs one call of provide takes.
const maxProvided = 500_000

// provideConfig holds the flags of the provide command.
type provideConfig struct {
	callFlags
	stdin, keep, stop bool
}

// provided is a content that the command line names.
type provided struct {
	CID  string `json:"cid"`
	File string `json:"file,omitempty"`
}

// provideSummary is what came of it all.
type provideSummary struct {
	Provided int        `json:"provided"` // contents, each once
	Kept     bool       `json:"kept"`
	Stopped  bool       `json:"stopped"`
	Seconds  float64    `json:"seconds"`
	Contents []provided `json:"contents,omitempty"` // unless they came from standard input
}

const provideLong = `Provide announces, for the host of the running node, that it provides contents:
others find it with "pastry findprovs". It does not serve them; that is for
another program. It returns when a majority of the members that keep each
announcement have it on disk, or in memory if they run without -store.

A content is named by its CID, or by a file, of which provide prints the CID:
version 1, raw, SHA-256. With -stdin, standard input has one CID a line.

The members forget an announcement after 48 hours. With -keep the node announces
the contents again before that, until "pastry provide -stop"; a node with -store
goes on with that after a restart. What others have heard already expires in 48
hours at most.`

func newProvideCommand() *cobra.Command {
	var c provideConfig
	cmd := &cobra.Command{
		Use:   "provide [CID|FILE]...",
		Short: "Announce contents in the ring, through the running node",
		Long:  provideLong,
		Example: `  pastry provide picture.png
  pastry provide -keep bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy
  ipfs pin ls -t recursive -q | pastry provide -stdin -keep
  pastry provide -stop picture.png`,
		RunE: func(cmd *cobra.Command, args []string) error { return c.run(cmd, args) },
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.BoolVar(&c.stdin, "stdin", false, "read CIDs from standard input, one a line")
	f.BoolVar(&c.keep, "keep", false, "announce them again before they expire")
	f.BoolVar(&c.stop, "stop", false, "do so no longer")
	cmd.MarkFlagsMutuallyExclusive("keep", "stop")
	c.add(cmd, 0)
	return cmd
}

func (c *provideConfig) run(cmd *cobra.Command, args []string) error {
	limit, err := c.limit()
	if err != nil {
		return err
	}
	contents, err := c.contents(cmd, args)
	if err != nil {
		return err
	}
	req := provideRequest{timeLimit: limit, Keep: c.keep, Stop: c.stop}
	for _, p := range contents {
		req.CIDs = append(req.CIDs, p.CID)
	}
	start := time.Now()
	total, err := c.provide(cmd, req)
	if err != nil {
		return err
	}
	s := provideSummary{Provided: total, Kept: c.keep, Stopped: c.stop, Seconds: seconds(time.Since(start))}
	if !c.stdin {
		s.Contents = contents
	}
	if c.json {
		return printJSON(cmd.OutOrStdout(), s)
	}
	return s.print(cmd.OutOrStdout())
}

// provide sends the request and shows a person how far it is. It returns how many
// contents there were.
func (c *provideConfig) provide(cmd *cobra.Command, req provideRequest) (total int, err error) {
	bar := newProgress(cmd.ErrOrStderr())
	bar.begin("announce", len(req.CIDs))
	defer bar.clear()
	err = follow(cmd.Context(), &c.callFlags, "/provide", req, func(p provideProgress) error {
		bar.set(p.Done)
		total = p.Total
		return nil
	})
	return total, err
}

// contents returns what is to be provided.
func (c *provideConfig) contents(cmd *cobra.Command, args []string) ([]provided, error) {
	switch {
	case c.stdin && len(args) > 0:
		return nil, errors.New("give CIDs or -stdin, not both")
	case c.stdin:
		b, err := readInput(cmd.Context(), cmd.InOrStdin(), maxProvideBody/2)
		if err != nil {
			return nil, err
		}
		return parseCIDs(b)
	case len(args) == 0:
		return nil, errors.New("nothing to provide: give CIDs or files, or -stdin")
	}
	var contents []provided
	var errs []error
	for _, arg := range args {
		p, err := parseContent(cmd.Context(), arg)
		contents, errs = append(contents, p), append(errs, err)
	}
	return contents, errors.Join(errs...)
}

// parseCIDs reads one CID a line. Lines without any are passed over.
func parseCIDs(b []byte) ([]provided, error) {
	var contents []provided
	number := 0
	for line := range bytes.Lines(b) {
		number++
		s := string(bytes.TrimSpace(line))
		if s == "" {
			continue
		}
		if _, err := cid.Decode(s); err != nil {
			return nil, fmt.Errorf("line %d: %q is no CID: %w", number, s, err)
		}
		if contents = append(contents, provided{CID: s}); len(contents) > maxProvided {
			return nil, fmt.Errorf("more than %d CIDs: divide them among several calls", maxProvided)
		}
	}
	if len(contents) == 0 {
		return nil, errors.New("nothing to provide: standard input has no CID")
	}
	return contents, nil
}

// parseContent returns the content that an argument names: a CID or, if it is
// none, a file.
func parseContent(ctx context.Context, arg string) (provided, error) {
	if _, err := cid.Decode(arg); err == nil {
		return provided{CID: arg}, nil
	}
	if err := ctx.Err(); err != nil {
		return provided{}, errInterrupted
	}
	info, err := os.Stat(arg)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return provided{}, fmt.Errorf("%q is neither a CID nor a file", arg)
	case err != nil:
		return provided{}, err
	case !info.Mode().IsRegular():
		return provided{}, fmt.Errorf("%s is not a regular file; name files, or the CID", arg)
	}
	f, err := hashFile(arg)
	if err != nil {
		return provided{}, err
	}
	return provided{CID: f.cid.String(), File: arg}, nil
}

func (s *provideSummary) print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, p := range s.Contents {
		fmt.Fprintf(t, "%s\t%s\n", p.CID, p.File)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	verb := "announced"
	switch {
	case s.Kept:
		verb = "announced and kept"
	case s.Stopped:
		verb = "stopped announcing"
	}
	contents := "contents"
	if s.Provided == 1 {
		contents = "content"
	}
	_, err := fmt.Fprintf(w, "%s %d %s in %.1f s\n", verb, s.Provided, contents, s.Seconds)
	return err
}
