package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/secondbit/pastry"
)

const (
	controlHelp = "<runtime or cache directory>/pastry/<short id>.sock"

	// defaultSocket is a link to the socket of the node that was started last, or
	// of any other when that has ended.
	defaultSocket = "default.sock"
)

// controlDir returns where the sockets of this user's nodes are.
func controlDir() (string, error) {
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" {
		return filepath.Join(dir, "pastry"), nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no place for the control socket: %w; name one with -control", err)
	}
	return filepath.Join(dir, "pastry"), nil
}

// controlPath returns the socket that path names, or the default one.
func controlPath(path string) (string, error) {
	if path != "" {
		return path, nil
	}
	dir, err := controlDir()
	return filepath.Join(dir, defaultSocket), err
}

// controlSocket is the socket a node listens at, and its link.
type controlSocket struct {
	net.Listener
	path string
	link string // of the default name; empty when the path was chosen
}

// listenControl makes the control socket of a node, in the default place unless
// path names another. Nobody but this user may open it.
func listenControl(n *pastry.Node, path string) (*controlSocket, error) {
	s := &controlSocket{path: path}
	if path == "" {
		dir, err := controlDir()
		if err != nil {
			return nil, err
		}
		s.path, s.link = filepath.Join(dir, n.ID().Short()+".sock"), filepath.Join(dir, defaultSocket)
	}
	if err := s.listen(); err != nil {
		return nil, fmt.Errorf("control socket %s: %w", s.path, err)
	}
	if s.link != "" {
		if err := relink(filepath.Base(s.path), s.link); err != nil {
			s.remove()
			return nil, fmt.Errorf("control socket: %w; name another place with -control", err)
		}
	}
	return s, nil
}

// listen binds the socket in a directory that is closed to others, and moves it
// to its place when its own permissions are right.
func (s *controlSocket) listen() error {
	if err := clearStale(s.path); err != nil {
		return err
	}
	parent := filepath.Dir(s.path)
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return err
	}
	private, err := os.MkdirTemp(parent, ".s")
	if err != nil {
		return err
	}
	defer os.RemoveAll(private)
	name := filepath.Join(private, "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: name, Net: "unix"})
	if err != nil {
		return fmt.Errorf("%w; name another path with -control, at most 90 bytes long", err)
	}
	l.SetUnlinkOnClose(false)
	s.Listener = l
	if err := errors.Join(os.Chmod(name, 0o600), os.Rename(name, s.path)); err != nil {
		return errors.Join(err, l.Close())
	}
	if !answers(s.path) {
		return errors.Join(errors.New("the path is too long for a socket; name one of at most 90 bytes with -control"), os.Remove(s.path), l.Close())
	}
	return nil
}

// clearStale removes a socket that a node left behind which runs no more.
func clearStale(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return errors.New("there is a file that is no socket; name another path with -control")
	case answers(path):
		return errors.New("another node listens there; stop it, or name another path with -control")
	}
	return os.Remove(path)
}

// answers reports whether somebody listens at the socket.
func answers(path string) bool {
	c, err := net.DialTimeout("unix", path, time.Second)
	if err != nil {
		return false
	}
	_ = c.Close()
	return true
}

// relink makes link, which may exist, point to target.
func relink(target, link string) error {
	next := link + "." + target
	_ = os.Remove(next) // left behind by a node of the same id that crashed
	if err := os.Symlink(target, next); err != nil {
		return err
	}
	return os.Rename(next, link)
}

// remove closes the socket and takes it out of the file system. If it had the
// default name, another node that still runs is given that.
func (s *controlSocket) remove() {
	_ = s.Listener.Close()
	_ = os.Remove(s.path)
	if target, err := os.Readlink(s.link); err != nil || target != filepath.Base(s.path) {
		return
	}
	_ = os.Remove(s.link)
	if others := runningSockets(filepath.Dir(s.path)); len(others) > 0 {
		_ = relink(filepath.Base(others[0]), s.link) // without it, -control must name the node
	}
}

// noNode explains why the socket does not answer, and names those that do.
func noNode(path string, err error) error {
	hint := `start one with "pastry node"`
	if running := runningSockets(filepath.Dir(path)); len(running) > 0 {
		hint = "choose one of these with -control:\n  " + strings.Join(running, "\n  ")
	}
	return fmt.Errorf("no node answers at %s (%w); %s", path, err, hint)
}

// runningSockets returns the sockets in a directory at which a node listens.
func runningSockets(dir string) []string {
	paths, _ := filepath.Glob(filepath.Join(dir, "*.sock")) // fails only for a bad pattern: then none
	var running []string
	for _, path := range paths {
		if filepath.Base(path) != defaultSocket && answers(path) {
			running = append(running, path)
		}
	}
	return running
}
