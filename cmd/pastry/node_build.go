package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	ds "github.com/ipfs/go-datastore"
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

// running is a node with what it stands on.
type running struct {
	host  host.Host
	node  *pastry.Node
	store ds.Batching // nil if it keeps all in memory
}

// close ends the node, then its host, and then the store.
func (r *running) close() error {
	var errs []error
	if r.node != nil {
		errs = append(errs, r.node.Close())
	}
	if r.host != nil {
		errs = append(errs, r.host.Close())
	}
	if r.store != nil {
		errs = append(errs, r.store.Close())
	}
	return errors.Join(errs...)
}

// build makes the host and, on it, the node. The metrics of both go to reg. On an
// error nothing is left running.
func (c *nodeConfig) build(ctx context.Context, reg prometheus.Registerer) (r *running, err error) {
	opts, err := c.options()
	if err != nil {
		return nil, err
	}
	r = &running{}
	defer func() {
		if err != nil {
			err, r = errors.Join(err, r.close()), nil
		}
	}()
	if c.store != "" {
		store, err := openStore(c.store)
		if err != nil {
			return r, err
		}
		r.store = store
		opts = append(opts, pastry.WithDatastore(store))
	}
	if r.host, err = c.buildHost(ctx, r.store, reg); err != nil {
		return r, err
	}
	r.node, err = pastry.New(r.host, append(opts, pastry.WithMetrics(reg))...)
	return r, err
}

// buildHost makes the host. It listens where -listen says; otherwise at the ports
// of its last run, if store knows them, or at any.
func (c *nodeConfig) buildHost(ctx context.Context, store ds.Datastore, reg prometheus.Registerer) (host.Host, error) {
	key, err := c.identity()
	if err != nil {
		return nil, err
	}
	opts := []libp2p.Option{libp2p.Identity(key), libp2p.PrometheusRegisterer(reg), libp2p.UserAgent("pastry/" + version())}
	if c.psk != "" {
		psk, err := readPSK(c.psk)
		if err != nil {
			return nil, fmt.Errorf("-psk: %w", err)
		}
		opts = append(opts, libp2p.PrivateNetwork(psk))
	}
	remember := len(c.listen) == 0 && store != nil
	var last ports
	if remember {
		if last, err = loadPorts(ctx, store, c.listenIP()); err != nil {
			return nil, fmt.Errorf("-store: %w", err)
		}
	}
	h, err := libp2p.New(append(opts, libp2p.ListenAddrStrings(c.listenAddrs(last)...))...)
	if err != nil {
		return nil, fmt.Errorf("start a host: %w; -listen sets its addresses", err)
	}
	if remember {
		if err := savePorts(ctx, store, last, h); err != nil {
			return nil, errors.Join(fmt.Errorf("-store: %w", err), h.Close())
		}
	}
	return h, nil
}

var modes = map[string]pastry.Mode{"auto": pastry.ModeAuto, "server": pastry.ModeServer, "client": pastry.ModeClient}

func (c *nodeConfig) options() ([]pastry.Option, error) {
	if err := errors.Join(c.checkListen(), checkNamespaces(c.namespaces)); err != nil {
		return nil, err
	}
	opts := []pastry.Option{pastry.WithRegion(c.region)}
	if c.lan { // first, so that the others can change what it sets
		opts = append(opts, pastry.WithLAN())
	}
	if c.mode != "" {
		mode, ok := modes[c.mode]
		if !ok {
			return nil, fmt.Errorf("-mode %s: give auto, server or client", c.mode)
		}
		opts = append(opts, pastry.WithMode(mode))
	}
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
	if len(c.namespaces) > 0 {
		opts = append(opts, pastry.WithRecordLimits(pastry.RecordLimits{Record: maxPlainValue + stampSize}))
	}
	for _, ns := range c.namespaces {
		opts = append(opts, pastry.WithNamespacedValidator(ns, plainValues{now: time.Now}))
	}
	return opts, nil
}

// identity returns the key in the file that -key names, or in the store, which is
// made if it is missing; or a new key if there is neither.
func (c *nodeConfig) identity() (crypto.PrivKey, error) {
	name, path := "-key", c.key
	if path == "" && c.store != "" {
		name, path = "-store", filepath.Join(c.store, storeKeyFile)
	}
	if path == "" {
		key, _, err := crypto.GenerateEd25519Key(rand.Reader)
		return key, err
	}
	key, err := readKey(path)
	if errors.Is(err, fs.ErrNotExist) {
		key, err = createKey(path)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
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
