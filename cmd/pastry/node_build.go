package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strings"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/secondbit/pastry"
)

// seeds returns the members that -join names.
func (c *nodeConfig) seeds() ([]peer.AddrInfo, error) {
	var seeds []peer.AddrInfo
	var errs []error
	for _, s := range c.join {
		info, err := peer.AddrInfoFromString(s)
		if err != nil {
			errs = append(errs, fmt.Errorf("-join %s: %w; give an address as %q prints it: a multiaddr that ends in /p2p/<peer ID>",
				s, err, "pastry node"))
			continue
		}
		seeds = append(seeds, *info)
	}
	return seeds, errors.Join(errs...)
}

// build makes the host and, on it, the node. The metrics of both go to reg.
func (c *nodeConfig) build(reg prometheus.Registerer) (host.Host, *pastry.Node, error) {
	opts, err := c.options()
	if err != nil {
		return nil, nil, err
	}
	key, err := c.identity()
	if err != nil {
		return nil, nil, err
	}
	h, err := libp2p.New(libp2p.Identity(key), libp2p.ListenAddrStrings(c.listen...), libp2p.PrometheusRegisterer(reg),
		libp2p.UserAgent("pastry/"+version()))
	if err != nil {
		return nil, nil, fmt.Errorf("start a host: %w; -listen sets its addresses", err)
	}
	n, err := pastry.New(h, append(opts, pastry.WithMetrics(reg))...)
	if err != nil {
		return nil, nil, errors.Join(err, h.Close())
	}
	return h, n, nil
}

var modes = map[string]pastry.Mode{"auto": pastry.ModeAuto, "server": pastry.ModeServer, "client": pastry.ModeClient}

func (c *nodeConfig) options() ([]pastry.Option, error) {
	mode, ok := modes[c.mode]
	if !ok {
		return nil, fmt.Errorf("-mode %s: give auto, server or client", c.mode)
	}
	opts := []pastry.Option{pastry.WithMode(mode), pastry.WithRegion(c.region)}
	if c.prefix != "" {
		opts = append(opts, pastry.WithProtocolPrefix(protocol.ID(c.prefix)))
	}
	if c.passphraseFile != "" {
		secret, err := os.ReadFile(c.passphraseFile)
		if err != nil {
			return nil, fmt.Errorf("-passphrase-file: %w", err)
		}
		opts = append(opts, pastry.WithCredentials(pastry.Passphrase(strings.TrimRight(string(secret), "\r\n"))))
	}
	return opts, nil
}

// identity returns the key in the file, which is made if it is missing, or a new
// key if no file is named.
func (c *nodeConfig) identity() (crypto.PrivKey, error) {
	if c.key == "" {
		key, _, err := crypto.GenerateEd25519Key(rand.Reader)
		return key, err
	}
	key, err := readKey(c.key)
	if errors.Is(err, fs.ErrNotExist) {
		key, err = createKey(c.key)
	}
	if err != nil {
		return nil, fmt.Errorf("-key: %w", err)
	}
	return key, nil
}

func readKey(path string) (crypto.PrivKey, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s may be read by others (mode %04o): run chmod 600 on it", path, info.Mode().Perm())
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	key, err := crypto.UnmarshalPrivateKey(b)
	if err != nil {
		return nil, fmt.Errorf("%s holds no private key of libp2p: %w", path, err)
	}
	return key, nil
}

// createKey makes a key and keeps it in a file that only this user may read.
func createKey(path string) (crypto.PrivKey, error) {
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		return nil, err
	}
	b, err := crypto.MarshalPrivateKey(key)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	_, err = f.Write(b)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return nil, errors.Join(err, os.Remove(path))
	}
	return key, nil
}
