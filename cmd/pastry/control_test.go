package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// An interrupted command ends at once, whatever it waits for.
func TestInterrupted(t *testing.T) {
	dir := shortTempDir(t)
	asked, hungUp := make(chan struct{}, 1), make(chan struct{}, 1)
	serveFake(t, dir+"/s", replying(maxControlBody, func(ctx context.Context, _ timeLimit) (any, error) {
		asked <- struct{}{}
		<-ctx.Done()
		hungUp <- struct{}{}
		return nil, ctx.Err()
	}))
	tests := []struct {
		name, args string
		reads      bool // standard input, which has nothing to say
	}{
		{"get", "get /app/x", false},
		{"findprovs", "findprovs " + contentID(t, "x").String(), false},
		{"provide", "provide " + contentID(t, "x").String(), false},
		{"put from standard input", "put /app/x -", true},
		{"provide from standard input", "provide -stdin", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			r, w := io.Pipe()
			defer w.Close()
			stderr, ended := newOutput(), make(chan int, 1)
			go func() {
				ended <- run(ctx, append(strings.Fields(tt.args), "-control", dir+"/s"), r, io.Discard, stderr)
			}()
			if tt.reads {
				if _, err := w.Write([]byte("\n")); err != nil { // returns when it is read
					t.Fatal(err)
				}
			} else {
				<-asked
			}
			cancel()
			if got := <-ended; got != 1 {
				t.Errorf("exit status %d, want 1", got)
			}
			if got, _ := stderr.state(); got != "pastry: interrupted\n" {
				t.Errorf("got %q", got)
			}
			if !tt.reads {
				<-hungUp // the node works no longer for nobody
			}
		})
	}
}

// A stream that is cut off, or ends with an error, is not taken for whole.
func TestStreamEnds(t *testing.T) {
	line := `{"item":{"peer":"12D3KooWJ5wRTJtXrLsH8HaFgLTt4rrzwRWqKnPgZNdrX2tVbHJ4","addrs":["/ip4/127.0.0.1/tcp/1"]}}` + "\n"
	tests := []struct{ name, body, want string }{
		{"cut off", line, "the node hung up"},
		{"cut off in a line", line + `{"it`, "the node hung up"},
		{"error", line + `{"error":"the ring is gone"}` + "\n", "the ring is gone"},
		{"nothing", "", "the node hung up"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := shortTempDir(t)
			serveFake(t, dir+"/s", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, tt.body) })
			status, stdout, stderr := pastryCommand(t, "findprovs", contentID(t, "x").String(), "-control", dir+"/s")
			if status != 1 || !strings.Contains(stderr, tt.want) {
				t.Errorf("got status %d and %q, want 1 and %q", status, stderr, tt.want)
			}
			if wantItem := strings.HasPrefix(tt.body, line); strings.HasPrefix(stdout, "12D3KooW") != wantItem {
				t.Errorf("got %q", stdout)
			}
		})
	}
}

// serveFake serves at a socket in the place of a node.
func serveFake(t *testing.T, path string, f http.HandlerFunc) {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := startServer(l, f)
	t.Cleanup(s.close)
}
