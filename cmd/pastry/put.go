package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
)

// putConfig holds the flags of the put command.
type putConfig struct {
	callFlags
	file string
}

const putLong = `Put stores VALUE, the content of a file, or with - what standard input holds,
under KEY, on the members of the ring that are nearest to it. It returns when a
majority of them have it on disk, or in memory if they run without -store. They
forget it 48 hours after the last put of that value.

KEY is /NAMESPACE/NAME. The nodes must know the namespace: start them with
"pastry node -namespace app" for keys like /app/greeting. There, any value of up
to 64 KiB will do, and the last put wins: put adds the time to the value, and get
takes it off again. Under /pk/ and /ipns/, where NAME is a peer ID, only public
keys and signed IPNS records can be stored.`

func newPutCommand() *cobra.Command {
	var c putConfig
	cmd := &cobra.Command{
		Use:   "put KEY [VALUE|-]",
		Short: "Store a value in the ring, through the running node",
		Long:  putLong,
		Example: `  pastry put /app/greeting "hello, world"
  pastry put /app/picture -file picture.png
  date | pastry put /app/date -`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error { return c.run(cmd, args) },
	}
	cmd.Flags().SortFlags = false
	cmd.Flags().StringVar(&c.file, "file", "", "file with the value; - for standard input")
	c.add(cmd, defaultTimeout)
	return cmd
}

func (c *putConfig) run(cmd *cobra.Command, args []string) error {
	limit, err := c.limit()
	if err != nil {
		return err
	}
	if _, err := parseValueKey(args[0]); err != nil {
		return err
	}
	value, err := c.value(cmd, args[1:])
	if err != nil {
		return err
	}
	var reply putReply
	if err := c.ask(cmd.Context(), "/put", putRequest{timeLimit: limit, Key: args[0], Value: value}, &reply); err != nil {
		return err
	}
	if c.json {
		return printJSON(cmd.OutOrStdout(), reply)
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "stored %d bytes under %s\n", reply.Bytes, reply.Key)
	return err
}

// value returns what is to be put.
func (c *putConfig) value(cmd *cobra.Command, args []string) ([]byte, error) {
	switch {
	case len(args) == 1 && c.file != "":
		return nil, errors.New("give a value or a -file, not both")
	case len(args) == 0 && c.file == "":
		return nil, errors.New("nothing to put: give a value, or -file with a file, or - for standard input")
	case c.file == "-" || len(args) == 1 && args[0] == "-":
		return readInput(cmd.Context(), cmd.InOrStdin(), maxControlBody/2)
	case len(args) == 1:
		return []byte(args[0]), nil
	}
	f, err := os.Open(c.file)
	if err != nil {
		return nil, fmt.Errorf("-file: %w", err)
	}
	defer f.Close()
	return readInput(cmd.Context(), f, maxControlBody/2)
}

// readInput reads all there is, or returns an error when that is more than limit
// bytes or ctx ends. Then, whoever reads is left behind.
func readInput(ctx context.Context, r io.Reader, limit int64) ([]byte, error) {
	type result struct {
		b   []byte
		err error
	}
	read := make(chan result, 1)
	go func() {
		b, err := io.ReadAll(io.LimitReader(r, limit+1))
		read <- result{b, err}
	}()
	select {
	case r := <-read:
		if r.err == nil && int64(len(r.b)) > limit {
			return nil, fmt.Errorf("the input has more than %d bytes, which is too much", limit)
		}
		return r.b, r.err
	case <-ctx.Done():
		return nil, errInterrupted
	}
}
