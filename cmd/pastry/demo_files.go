package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"
)

// file is a file with the node that announces it.
type file struct {
	path     string
	size     int64 // bytes
	cid      cid.Cid
	provider *member
	provided bool
}

// hashFile reads the file and returns the CID of its content: version 1, raw,
// SHA-256.
func hashFile(path string) (*file, error) {
	r, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	h := sha256.New()
	size, err := io.Copy(h, r)
	if err != nil {
		return nil, err
	}
	mh, err := multihash.Encode(h.Sum(nil), multihash.SHA2_256)
	if err != nil {
		return nil, err
	}
	return &file{path: path, size: size, cid: cid.NewCidV1(cid.Raw, mh)}, nil
}

// scan finds the files below the directory and computes their CIDs. It passes
// over .git, what is no regular file, and, with a warning, what is too large or
// cannot be read. It is an error if the directory itself cannot be read.
func (d *demo) scan(ctx context.Context) error {
	d.steps.begin("scan", d.maxFiles)
	err := filepath.WalkDir(d.dir, func(path string, e fs.DirEntry, err error) error {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && path == d.dir:
			return fmt.Errorf("%w; choose a directory with -dir", err)
		case err != nil:
			d.skip("%v", err)
			return nil
		case e.IsDir() && e.Name() == ".git":
			return fs.SkipDir
		case !e.Type().IsRegular():
			return nil
		case len(d.files) == d.maxFiles:
			d.skip("%s holds more than %d files: the rest is left out; -max-files raises the limit", d.dir, d.maxFiles)
			return fs.SkipAll
		}
		d.scanFile(path, e)
		return nil
	})
	if err != nil {
		return err
	}
	var size int64
	for _, f := range d.files {
		size += f.size
	}
	d.report.bytes = size
	d.steps.end("%d files with %.1f MB below %s", len(d.files), float64(size)/1e6, d.dir)
	return nil
}

func (d *demo) scanFile(path string, e fs.DirEntry) {
	if info, err := e.Info(); err == nil && info.Size() > d.maxSize {
		d.skip("%s has %d bytes and is left out; -max-size raises the limit of %d", path, info.Size(), d.maxSize)
		return
	}
	f, err := hashFile(path)
	if err != nil {
		d.skip("%v", err)
		return
	}
	d.files = append(d.files, f)
	d.steps.add()
}

func (d *demo) skip(format string, args ...any) {
	d.report.skipped++
	d.steps.warn(format, args...)
}

// provide announces each file from a random node.
func (d *demo) provide(ctx context.Context) error {
	for _, f := range d.files {
		f.provider = d.cluster.pick(d.rng, 1, nil)[0]
	}
	d.steps.begin("provide", len(d.files))
	errs := make([]error, len(d.files))
	inParallel(ctx, d.concurrency, len(d.files), func(i int) {
		errs[i] = d.files[i].announce(ctx, d.fileTimeout)
		d.steps.add()
	})
	for i, f := range d.files {
		if f.provided {
			d.report.provided++
		} else {
			d.report.lose("announcing %s (%s): %v", f.path, f.cid, errs[i])
		}
	}
	d.steps.end("%d of %d files announced", d.report.provided, len(d.files))
	return nil
}

func (f *file) announce(ctx context.Context, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	err := f.provider.node.Provide(ctx, f.cid, true)
	f.provided = err == nil
	return err
}

// lookup is one node's search for one file, with what came of it.
type lookup struct {
	file   *file
	finder *member

	found bool
	err   error
	took  time.Duration
}

// planLookups draws, for each announced file, different live nodes that look
// for it. Its provider, which may be dead, is not among them.
func (d *demo) planLookups() []*lookup {
	var ls []*lookup
	for _, f := range d.files {
		if !f.provided {
			continue
		}
		for _, m := range d.cluster.pick(d.rng, d.finders, f.provider) {
			ls = append(ls, &lookup{file: f, finder: m})
		}
	}
	return ls
}

var errNoRecord = errors.New("no record names the node that announced it")

// search looks for the file until a record names the node that announced it.
func (l *lookup) search(ctx context.Context, timeout time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	start := time.Now()
	for p := range l.finder.node.FindProvidersAsync(ctx, l.file.cid, 0) {
		if p.ID == l.file.provider.host.ID() {
			l.found, l.took = true, time.Since(start)
			return
		}
	}
	if l.err = ctx.Err(); l.err == nil {
		l.err = errNoRecord
	}
	l.took = time.Since(start)
}

func (l *lookup) fault() error {
	return fmt.Errorf("looking for %s (%s) from %s: %w", l.file.path, l.file.cid, l.finder.host.ID(), l.err)
}
