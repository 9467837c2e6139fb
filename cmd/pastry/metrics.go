package main

import (
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// server is an HTTP server with the address it listens at.
type server struct {
	http.Server
	addr net.Addr
	done chan struct{} // closed when it has stopped
}

// startServer serves handler at l until close.
func startServer(l net.Listener, handler http.Handler) *server {
	s := &server{addr: l.Addr(), done: make(chan struct{})}
	s.Handler, s.ReadHeaderTimeout = handler, 10*time.Second
	go func() {
		defer close(s.done)
		_ = s.Serve(l) // ends with http.ErrServerClosed
	}()
	return s
}

// close ends the server, and with it the requests under way.
func (s *server) close() {
	_ = s.Server.Close()
	<-s.done
}

// serveMetrics serves what reg gathers at /metrics.
func serveMetrics(addr string, reg prometheus.Gatherer) (*server, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("-metrics %s: %w; give an address such as :9090", addr, err)
	}
	if host == "" {
		host = "127.0.0.1"
	}
	l, err := net.Listen("tcp", net.JoinHostPort(host, port))
	if err != nil {
		return nil, fmt.Errorf("-metrics %s: %w; choose a free port, or 0 for any", addr, err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{}))
	return startServer(l, mux), nil
}
