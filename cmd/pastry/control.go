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

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/ring"
)

// The control protocol is HTTP over a Unix socket, with bodies in JSON:
//
//	GET  /info   answers with a pastry.Info
//	POST /route  takes a routeRequest and answers with a routeReply
//
// Any status but 200 comes with a controlError.

// maxControlBody is the limit of a request, in bytes.
const maxControlBody = 4 << 20

type controlError struct {
	Error string `json:"error"`
}

// routeRequest asks for a message to the whoami application.
type routeRequest struct {
	Key     ring.ID       `json:"key"`
	Payload string        `json:"payload"`
	Timeout time.Duration `json:"timeout_ns"`
}

// routeReply is what became of it.
type routeReply struct {
	Key   ring.ID   `json:"key"`
	Root  peer.ID   `json:"root"`
	Hops  int       `json:"hops"`
	Path  []peer.ID `json:"path"` // sender excluded, root included
	RTT   float64   `json:"rtt_ms"`
	Reply presence  `json:"reply"`
}

// control serves the control protocol of a node.
type control struct {
	node   *pastry.Node
	server *server
	socket *controlSocket
	path   string
}

// serveControl begins to serve at the socket that path names, or in the default
// place.
func serveControl(n *pastry.Node, path string) (*control, error) {
	socket, err := listenControl(n, path)
	if err != nil {
		return nil, err
	}
	c := &control{node: n, socket: socket, path: socket.path}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /info", c.info)
	mux.HandleFunc("POST /route", c.route)
	c.server = startServer(socket, mux)
	return c, nil
}

func (c *control) close() {
	c.server.close()
	c.socket.remove()
}

func (c *control) info(w http.ResponseWriter, r *http.Request) {
	info, err := c.node.Info(r.Context())
	answer(w, info, err)
}

func (c *control) route(w http.ResponseWriter, r *http.Request) {
	var req routeRequest
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxControlBody)).Decode(&req); err != nil {
		answer(w, nil, err)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), req.Timeout)
	defer cancel()
	reply, err := askWhoami(ctx, c.node, req)
	answer(w, reply, err)
}

// answer writes a value, or an error.
func answer(w http.ResponseWriter, v any, err error) {
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		v = controlError{Error: err.Error()}
	}
	_ = json.NewEncoder(w).Encode(v) // the other side hung up
}

// ask sends a request to the node at the socket and decodes the answer. A nil
// body makes it a GET.
func ask(ctx context.Context, socket, path string, body, reply any) error {
	req, err := newRequest(ctx, path, body)
	if err != nil {
		return err
	}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}
	client := http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
	res, err := client.Do(req)
	if dialing := new(net.OpError); errors.As(err, &dialing) && dialing.Op == "dial" {
		return noNode(socket, dialing.Err)
	}
	if err != nil {
		return fmt.Errorf("ask the node at %s: %w", socket, err)
	}
	defer res.Body.Close()
	return decode(res, reply)
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

func decode(res *http.Response, reply any) error {
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return fmt.Errorf("the node hung up: %w", err)
	}
	if res.StatusCode != http.StatusOK {
		var e controlError
		if err := json.Unmarshal(b, &e); err != nil || e.Error == "" {
			return fmt.Errorf("the node answered %s: is it of another version?", res.Status)
		}
		return errors.New(e.Error)
	}
	return json.Unmarshal(b, reply)
}
