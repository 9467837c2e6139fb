package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"

	ds "github.com/ipfs/go-datastore"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/pnet"
	ma "github.com/multiformats/go-multiaddr"
)

// listenIP returns the IPv4 address to listen at when -listen does not say.
func (c *nodeConfig) listenIP() string {
	if c.lan {
		return "0.0.0.0"
	}
	return "127.0.0.1"
}

// listenAddrs returns where to listen. QUIC knows no private networks.
func (c *nodeConfig) listenAddrs(p ports) []string {
	if len(c.listen) > 0 {
		return c.listen
	}
	addrs := []string{fmt.Sprintf("/ip4/%s/tcp/%d", c.listenIP(), p.TCP)}
	if c.psk == "" {
		addrs = append(addrs, fmt.Sprintf("/ip4/%s/udp/%d/quic-v1", c.listenIP(), p.UDP))
	}
	return addrs
}

// checkListen refuses addresses at which a private network cannot be had.
func (c *nodeConfig) checkListen() error {
	if c.psk == "" {
		return nil
	}
	var errs []error
	for _, s := range c.listen {
		a, err := ma.NewMultiaddr(s)
		if err != nil {
			continue // the host says what is wrong
		}
		if _, err := a.ValueForProtocol(ma.P_UDP); err == nil {
			errs = append(errs, fmt.Errorf("-listen %s: with -psk only TCP can be used, such as /ip4/0.0.0.0/tcp/4001", s))
		}
	}
	return errors.Join(errs...)
}

// readPSK reads the key of a private network from a file such as the swarm.key of
// IPFS nodes.
func readPSK(path string) (pnet.PSK, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	psk, err := pnet.DecodeV1PSK(f)
	if err != nil {
		return nil, fmt.Errorf("%s holds no key of a private network: %w; "+
			"it has three lines: /key/swarm/psk/1.0.0/, /base16/, and 64 hexadecimal digits", path, err)
	}
	return psk, nil
}

// ports are where a node listens that was not told where. A node with a store
// comes back there, as the others know it there: without that, nobody would find
// anybody after all have stopped.
type ports struct {
	TCP int `json:"tcp"`
	UDP int `json:"udp,omitempty"`
}

var portsKey = ds.NewKey("/pastry-command/ports")

// loadPorts returns the ports of the last run, 0 for those that are unknown or
// that another process has taken meanwhile.
func loadPorts(ctx context.Context, store ds.Datastore, ip string) (ports, error) {
	var p ports
	b, err := store.Get(ctx, portsKey)
	if errors.Is(err, ds.ErrNotFound) {
		return p, nil
	}
	if err != nil {
		return p, err
	}
	if err := json.Unmarshal(b, &p); err != nil {
		return ports{}, fmt.Errorf("the ports of the last run: %w", err)
	}
	if !portFree("tcp", ip, p.TCP) {
		p.TCP = 0
	}
	if !portFree("udp", ip, p.UDP) {
		p.UDP = 0
	}
	return p, nil
}

// portFree reports whether nobody listens at a port.
func portFree(network, ip string, port int) bool {
	var l io.Closer
	var err error
	addr := net.JoinHostPort(ip, strconv.Itoa(port))
	if network == "udp" {
		l, err = net.ListenPacket(network, addr)
	} else {
		l, err = net.Listen(network, addr)
	}
	return err == nil && l.Close() == nil
}

// savePorts keeps the ports that the host listens at. One without UDP keeps what
// another run had.
func savePorts(ctx context.Context, store ds.Datastore, before ports, h host.Host) error {
	p := before
	for _, a := range h.Network().ListenAddresses() {
		if s, err := a.ValueForProtocol(ma.P_TCP); err == nil {
			p.TCP, _ = strconv.Atoi(s) // a multiaddr holds no other
		}
		if s, err := a.ValueForProtocol(ma.P_UDP); err == nil {
			p.UDP, _ = strconv.Atoi(s)
		}
	}
	b, err := json.Marshal(p)
	if err != nil {
		return err
	}
	if err := store.Put(ctx, portsKey, b); err != nil {
		return err
	}
	return store.Sync(ctx, portsKey)
}
