package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	leveldb "github.com/ipfs/go-ds-leveldb"
)

const (
	storeKeyFile = "key"     // in the directory that -store names: the private key, unless -key names another
	storeDB      = "leveldb" // and the directory of the database
)

// openStore opens the database in a directory, which is made if it is missing.
func openStore(dir string) (*leveldb.Datastore, error) {
	db := filepath.Join(dir, storeDB)
	if err := os.MkdirAll(db, 0o700); err != nil {
		return nil, fmt.Errorf("-store: %w", err)
	}
	store, err := leveldb.NewDatastore(db, nil)
	if errors.Is(err, syscall.EAGAIN) { // the lock, on Unix
		return nil, fmt.Errorf("-store %s: another process has it open; stop that, or name another directory", dir)
	}
	if err != nil {
		return nil, fmt.Errorf("-store %s: %w; is another node using it?", dir, err)
	}
	return store, nil
}
