package testutil_test

import (
	"context"
	"fmt"
	"time"

	"github.com/secondbit/pastry/testutil"
)

// A cluster of eight nodes loses two without a goodbye, and repairs itself. In a
// test, WithCluster makes one in virtual time: no real time passes then.
func ExampleCluster() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c, err := testutil.NewCluster(testutil.ClusterConfig{
		Nodes: 8,
		Network: testutil.NetworkConfig{
			Seed:    1,
			Latency: func(a, b int) time.Duration { return time.Millisecond },
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	if err := c.Start(ctx); err != nil {
		fmt.Println(err)
		return
	}

	c.Crash(3, 5)
	fmt.Println("messages at their roots:", c.CheckRoots(ctx, c.RandomKeys(50)...) == nil)
	fmt.Println("leaf sets exact again:", c.Settle(ctx) == nil)
	fmt.Println("members:", len(c.Oracle().Members()))
	// Output:
	// messages at their roots: true
	// leaf sets exact again: true
	// members: 6
}
