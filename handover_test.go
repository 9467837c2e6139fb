package pastry_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/internal/records"
	"github.com/secondbit/pastry/testutil"
)

// Nodes that are closed hand on what they hold, also the only copy: as long as
// one is left, it has everything.
func TestCloseHandsRecordsOn(t *testing.T) {
	const nodes, files = 8, 200
	withRing(t, seeded(101, nodes, pastry.WithReplication(1), withRanks), func(t *testing.T, c *testutil.Cluster) {
		var contents []cid.Cid
		var want [][]peer.AddrInfo
		for i := range files {
			content := pastry.ContentCID(t, fmt.Sprint(i))
			provide(t, c.Node(i%nodes), content)
			contents, want = append(contents, content), append(want, infosOf(c.Node(i%nodes)))
		}
		putValue(t, c.Node(0), "/rank/key", "1 value")
		for i := range nodes - 1 {
			begun := time.Now()
			if err := c.Node(i).Close(); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(begun); took > 5*time.Second {
				t.Errorf("node %d took %v to close", i, took)
			}
			for k := i; k < files; k += 17 { // at once
				checkFound(t, c.Node(nodes-1), contents[k], want[k])
			}
		}
		last := c.Node(nodes - 1)
		for i, content := range contents {
			checkFound(t, last, content, want[i])
		}
		checkValue(t, last, "/rank/key", "1 value")
		if held := len(pastry.HeldEntries(last)); held != files+1 {
			t.Errorf("the last node holds %d records, want %d", held, files+1)
		}
	})
}

// What a node held is found while and after all of its ring is replaced.
func TestRecordsOutliveTheirRing(t *testing.T) {
	const nodes, files, replicas = 5, 30, 3
	withRing(t, seeded(102, nodes, pastry.WithReplication(replicas), withRanks), func(t *testing.T, c *testutil.Cluster) {
		var ids []records.ID
		for i := range files {
			content := pastry.ContentCID(t, fmt.Sprint(i))
			provide(t, c.Node(i%nodes), content)
			ids = append(ids, providerID(content, i%nodes, c))
		}
		for i := range nodes {
			added, err := c.Add()
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Join(within(t, 30*time.Second), added); err != nil {
				t.Fatal(err)
			}
			if i%2 == 0 {
				c.Crash(i)
			} else if err := c.Node(i).Close(); err != nil {
				t.Fatal(err)
			}
			settle(t, c, time.Minute)
			time.Sleep(time.Minute)
			for k := range files {
				if got := len(find(t, c.Node(added), pastry.ContentCID(t, fmt.Sprint(k)), 0)); got != 1 {
					t.Errorf("after %d nodes were replaced: %d providers of content %d, want 1", i+1, got, k)
				}
			}
		}
		for _, id := range ids {
			live := 0
			for _, n := range c.Oracle().Members() {
				if pastry.Holds(n, id) {
					live++
				}
			}
			if live != replicas {
				t.Errorf("record %s is on %d members, want %d", id.Key.Short(), live, replicas)
			}
		}
	})
}

// A node that is closed with nobody to hand its records to does not wait, and one
// that nobody answers does not wait for ever.
func TestCloseWithoutHeirs(t *testing.T) {
	withRing(t, seeded(103, 3), func(t *testing.T, c *testutil.Cluster) {
		for i := range 20 {
			provide(t, c.Node(0), pastry.ContentCID(t, fmt.Sprint(i)))
		}
		time.Sleep(time.Minute)
		c.Crash(1, 2)
		begun := time.Now()
		if err := c.Node(0).Close(); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begun); took > 10*time.Second {
			t.Errorf("it took %v to close", took)
		}
	})
	withRing(t, seeded(104, 1), func(t *testing.T, c *testutil.Cluster) {
		provide(t, c.Node(0), pastry.ContentCID(t, "content"))
		begun := time.Now()
		if err := c.Node(0).Close(); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begun); took > time.Second {
			t.Errorf("it took %v to close a ring of one", took)
		}
	})
}

// shortLived is a validator for which a value "short" is valid only until a time.
type shortLived struct{ until time.Time }

func (v *shortLived) Validate(_ string, value []byte) error {
	if string(value) == "short" && time.Now().After(v.until) {
		return errors.New("no longer valid")
	}
	return nil
}

func (*shortLived) Select(string, [][]byte) (int, error) { return 0, nil }

// A record that others refuse, like a value that is no longer valid, stays; it
// keeps no other from being handed on.
func TestRefusedRecordsAreInNobodysWay(t *testing.T) {
	const nodes, values, large = 4, 240, 16 << 10 // so that a call holds few
	v := new(shortLived)
	cfg := seeded(105, nodes, pastry.WithReplication(1), pastry.WithNamespacedValidator("n", v))
	cfg.Network.Latency = func(int, int) time.Duration { return time.Millisecond }
	withRing(t, cfg, func(t *testing.T, c *testutil.Cluster) {
		v.until = time.Now().Add(time.Hour)
		want := make(map[string]string)
		for i := range values {
			key, data := fmt.Sprint("/n/", i), strings.Repeat("x", large)
			if i%10 == 0 {
				data = "short"
			} else {
				want[key] = data
			}
			putValue(t, c.Node(0), key, data)
		}
		time.Sleep(2 * time.Hour)
		if err := c.Node(1).Close(); err != nil {
			t.Fatal(err)
		}
		settle(t, c, time.Minute)
		for key, data := range want {
			checkValue(t, c.Node(2), key, data)
		}
	})
}
