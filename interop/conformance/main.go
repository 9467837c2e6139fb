// Command conformance runs the conformance suite against this router and against
// kad-dht, and prints a table in Markdown. Why a case did not pass goes to
// standard error.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/secondbit/pastry/interop"
	"github.com/secondbit/pastry/testutil"
)

func main() {
	var names []string
	var results [][]testutil.Result
	for _, s := range []testutil.Subject{interop.Pastry(), interop.KadDHT()} {
		rs := testutil.Run(context.Background(), s)
		names, results = append(names, s.Name), append(results, rs)
		fmt.Fprintf(os.Stderr, "%s\n%s\n", s.Name, interop.Text(rs))
	}
	fmt.Print(interop.Markdown(names, results))
}
