package main

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/ring"
)

// The control protocol is HTTP over a Unix socket, with bodies in JSON:
//
//	GET  /info       answers with a pastry.Info
//	POST /route      takes a routeRequest and answers with a routeReply
//	POST /put        takes a putRequest and answers with a putReply
//	POST /get        takes a getRequest and answers with a getReply
//	POST /findpeer   takes a findPeerRequest and answers with a provider
//	POST /findprovs  takes a findProvsRequest and streams a provider for each
//	POST /provide    takes a provideRequest and streams a provideProgress now and
//	                 then, and at the end
//
// Any status but 200 comes with a controlError; it is 404 if the ring has been
// asked and holds nothing of the kind. A stream is lines of JSON, each a
// streamLine; one without its end or error was cut off. A request ends when the
// client hangs up. Timeouts are nanoseconds; 0 means none.

// maxControlBody is the limit of a request, in bytes; of a provideRequest, which
// may name many CIDs, it is maxProvideBody.
const (
	maxControlBody = 4 << 20
	maxProvideBody = 64 << 20
)

type controlError struct {
	Error string `json:"error"`
}

// streamLine is one line of a stream: an item, or the end.
type streamLine[T any] struct {
	Item  *T     `json:"item,omitempty"`
	End   bool   `json:"end,omitempty"`   // all went well
	Error string `json:"error,omitempty"` // the end as well
}

// timeLimit is how long a request may take, 0 for as long as the client waits.
type timeLimit struct {
	Timeout time.Duration `json:"timeout_ns,omitempty"`
}

func (l timeLimit) limit() time.Duration { return l.Timeout }

// routeRequest asks for a message to the whoami application.
type routeRequest struct {
	timeLimit
	Key     ring.ID `json:"key"`
	Payload string  `json:"payload"`
	Nearest int     `json:"nearest"` // of so many members the nearest delivers; of 1 the root
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
	node      *pastry.Node
	plain     []string      // namespaces
	providing chan struct{} // a token for the ProvideMany under way
	server    *server
	socket    *controlSocket
	path      string
}

// serveControl begins to serve at the socket that path names, or in the default
// place. Values in plain namespaces are stamped.
func serveControl(n *pastry.Node, path string, plain []string) (*control, error) {
	socket, err := listenControl(n, path)
	if err != nil {
		return nil, err
	}
	c := &control{node: n, plain: plain, providing: make(chan struct{}, 1), socket: socket, path: socket.path}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /info", c.info)
	mux.HandleFunc("POST /route", replying(maxControlBody, c.route))
	mux.HandleFunc("POST /put", replying(maxControlBody, c.put))
	mux.HandleFunc("POST /get", replying(maxControlBody, c.get))
	mux.HandleFunc("POST /findpeer", replying(maxControlBody, c.findPeer))
	mux.HandleFunc("POST /findprovs", streaming(maxControlBody, c.findProvs))
	mux.HandleFunc("POST /provide", streaming(maxProvideBody, c.provide))
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

func (c *control) route(ctx context.Context, req routeRequest) (*routeReply, error) {
	return askWhoami(ctx, c.node, req)
}

// limited is a request that says how long it may take.
type limited interface{ limit() time.Duration }

// replying turns a function into the handler of requests that have one answer.
func replying[Q limited, A any](maxBody int64, f func(context.Context, Q) (A, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		req, ctx, cancel, err := accept[Q](w, r, maxBody)
		if err != nil {
			answer(w, nil, err)
			return
		}
		defer cancel()
		reply, err := f(ctx, req)
		answer(w, reply, err)
	}
}

// streaming turns a function into the handler of requests that have a stream of
// answers. The function emits one after the other; an error of emit ends it.
func streaming[Q limited, A any](maxBody int64, f func(ctx context.Context, req Q, emit func(A) error) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		req, ctx, cancel, err := accept[Q](w, r, maxBody)
		if err != nil {
			answer(w, nil, err)
			return
		}
		defer cancel()
		begun := false
		send := func(l streamLine[A]) error {
			if !begun {
				begun = true
				w.Header().Set("Content-Type", "application/x-ndjson")
			}
			if err := json.NewEncoder(w).Encode(l); err != nil {
				return err
			}
			return http.NewResponseController(w).Flush()
		}
		err = f(ctx, req, func(item A) error { return send(streamLine[A]{Item: &item}) })
		switch {
		case err == nil:
			_ = send(streamLine[A]{End: true}) // the other side hung up
		case begun:
			_ = send(streamLine[A]{Error: err.Error()})
		default:
			answer(w, nil, err)
		}
	}
}

// accept decodes a request. Its context ends with the time it may take, and when
// the client hangs up.
func accept[Q limited](w http.ResponseWriter, r *http.Request, maxBody int64) (req Q, ctx context.Context, cancel context.CancelFunc, err error) {
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&req); err != nil {
		return req, nil, nil, err
	}
	if req.limit() == 0 {
		ctx, cancel = context.WithCancel(r.Context())
	} else {
		ctx, cancel = context.WithTimeout(r.Context(), req.limit())
	}
	return req, ctx, cancel, nil
}

// answer writes a value, or an error.
func answer(w http.ResponseWriter, v any, err error) {
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		w.WriteHeader(statusOf(err))
		v = controlError{Error: err.Error()}
	}
	_ = json.NewEncoder(w).Encode(v) // the other side hung up
}
