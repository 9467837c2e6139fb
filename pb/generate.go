// Package pb holds the frames that nodes exchange, generated from
// pastry.proto. docs/protocol.md says what each of them means and when it is
// sent.
//
// The generator is pinned by tools/go.mod and needs nothing but Go.
package pb

//go:generate go run -C ../tools ./protogen -I ../pb -out ../pb pastry.proto
