package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/spf13/cobra"
)

// callFlags are the flags of a command that asks the running node.
type callFlags struct {
	json    bool
	timeout time.Duration
	endless bool // no timeout will do
	control string
}

// add defines the flags. With a timeout of 0 there is none by default.
func (c *callFlags) add(cmd *cobra.Command, timeout time.Duration) {
	f := cmd.Flags()
	usage := "longest wait for the answer"
	if c.endless = timeout == 0; c.endless {
		usage += "; 0 for no limit"
	}
	f.BoolVar(&c.json, "json", false, "print JSON")
	f.DurationVar(&c.timeout, "timeout", timeout, usage)
	f.StringVar(&c.control, "control", "", "socket of the node; default is that of the node started last")
}

// limit returns the time that a request may take.
func (c *callFlags) limit() (timeLimit, error) {
	if c.timeout < 0 || c.timeout == 0 && !c.endless {
		return timeLimit{}, fmt.Errorf("-timeout %v: give a positive time such as 10s", c.timeout)
	}
	return timeLimit{Timeout: c.timeout}, nil
}

// ask sends a request to the node at the socket that -control names, and decodes
// the answer. A nil body makes it a GET.
func (c *callFlags) ask(ctx context.Context, path string, body, reply any) error {
	socket, err := controlPath(c.control)
	if err != nil {
		return err
	}
	return ask(ctx, socket, path, body, reply)
}

// ask sends a request to the node at the socket and decodes the answer. A nil
// body makes it a GET.
func ask(ctx context.Context, socket, path string, body, reply any) error {
	res, err := send(ctx, socket, path, body)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return hungUp(ctx, err)
	}
	return json.Unmarshal(b, reply)
}

// follow sends a request to the node that c names and calls f with each item of
// the stream that it answers. An error of f ends it.
func follow[T any](ctx context.Context, c *callFlags, path string, body any, f func(T) error) error {
	socket, err := controlPath(c.control)
	if err != nil {
		return err
	}
	res, err := send(ctx, socket, path, body)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	for d := json.NewDecoder(res.Body); ; {
		var l streamLine[T]
		if err := d.Decode(&l); err != nil {
			return hungUp(ctx, err)
		}
		switch {
		case l.Error != "":
			return errors.New(l.Error)
		case l.End:
			return nil
		case l.Item != nil:
			if err := f(*l.Item); err != nil {
				return err
			}
		}
	}
}

// hungUp explains why an answer ended before it was whole.
func hungUp(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return errInterrupted
	}
	return fmt.Errorf("the node hung up: %w", err)
}

var errInterrupted = errors.New("interrupted")

// send sends a request, and returns an answer with status 200.
func send(ctx context.Context, socket, path string, body any) (*http.Response, error) {
	req, err := newRequest(ctx, path, body)
	if err != nil {
		return nil, err
	}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}
	client := http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
	res, err := client.Do(req)
	if dialing := new(net.OpError); errors.As(err, &dialing) && dialing.Op == "dial" {
		return nil, noNode(socket, dialing.Err)
	}
	if err != nil && ctx.Err() != nil {
		return nil, errInterrupted
	}
	if err != nil {
		return nil, fmt.Errorf("ask the node at %s: %w", socket, err)
	}
	if res.StatusCode != http.StatusOK {
		defer res.Body.Close()
		return nil, refusal(ctx, res)
	}
	return res, nil
}

func newRequest(ctx context.Context, path string, body any) (*http.Request, error) {
	const base = "http://node" // no name is looked up: the socket is dialled
	if body == nil {
		return http.NewRequestWithContext(ctx, http.MethodGet, base+path, nil)
	}
	b, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	return http.NewRequestWithContext(ctx, http.MethodPost, base+path, bytes.NewReader(b))
}

// refusal returns the error in an answer.
func refusal(ctx context.Context, res *http.Response) error {
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return hungUp(ctx, err)
	}
	var e controlError
	if err := json.Unmarshal(b, &e); err != nil || e.Error == "" {
		return fmt.Errorf("the node answered %s: is it of another version?", res.Status)
	}
	return errors.New(e.Error)
}
