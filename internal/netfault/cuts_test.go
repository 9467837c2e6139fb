package netfault_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/secondbit/pastry/internal/netfault"
)

func TestCuts(t *testing.T) {
	type pairs map[[2]int]bool
	tests := []struct {
		name string
		do   func(*netfault.Cuts)
		want pairs // cut or not
	}{
		{"none", func(*netfault.Cuts) {}, pairs{{0, 0}: false, {0, 1}: false}},
		{"crash", func(c *netfault.Cuts) { c.Crash(1, true) },
			pairs{{0, 1}: true, {1, 0}: true, {0, 2}: false}},
		{"two crashes", func(c *netfault.Cuts) { c.Crash(1, true); c.Crash(2, true) },
			pairs{{1, 2}: true, {0, 1}: true, {0, 2}: true, {0, 3}: false}},
		{"revive", func(c *netfault.Cuts) { c.Crash(1, true); c.Crash(1, false) },
			pairs{{0, 1}: false}},
		{"partition", func(c *netfault.Cuts) { c.Partition([]int{0, 1}, []int{2}) },
			pairs{{0, 1}: false, {0, 2}: true, {0, 3}: true, {2, 3}: true, {3, 4}: false}},
		{"partition again", func(c *netfault.Cuts) { c.Partition([]int{0, 1}); c.Partition([]int{1, 2}) },
			pairs{{0, 1}: true, {1, 2}: false, {0, 3}: false}},
		{"named twice", func(c *netfault.Cuts) { c.Partition([]int{0, 1}, []int{1, 2}) },
			pairs{{0, 1}: true, {1, 2}: false}},
		{"heal", func(c *netfault.Cuts) { c.Partition([]int{0}); c.Crash(3, true); c.Partition() },
			pairs{{0, 1}: false, {0, 3}: true}},
		{"all", func(c *netfault.Cuts) { c.All(); c.Partition(); c.Crash(0, false) },
			pairs{{0, 1}: true, {2, 3}: true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var c netfault.Cuts
			tt.do(&c)
			got := pairs{}
			for p := range tt.want {
				got[p] = c.Between(p[0], p[1])
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("cuts between nodes (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCrashed(t *testing.T) {
	var c netfault.Cuts
	for _, want := range []bool{true, false} {
		c.Crash(4, want)
		if got := c.Crashed(4); got != want {
			t.Errorf("Crashed(4) = %v after Crash(4, %v)", got, want)
		}
	}
	if c.Crashed(3) {
		t.Error("Crashed(3) = true without a crash of it")
	}
}
