package testutil

import (
	"testing"
	"testing/synctest"
)

// WithCluster runs f on a new cluster in a testing/synctest bubble, where time is
// virtual, and closes the cluster when f has returned. It is not to be called in a
// bubble.
func WithCluster(t *testing.T, cfg ClusterConfig, f func(t *testing.T, c *Cluster)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c, err := NewCluster(cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := c.Close(); err != nil {
				t.Errorf("closing the cluster: %v", err)
			}
		}()
		f(t, c)
	})
}
