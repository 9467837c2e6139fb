package main

import (
	"context"
	"errors"

	"github.com/bufbuild/protocompile"
	"github.com/bufbuild/protocompile/protoutil"
	"github.com/bufbuild/protocompile/reporter"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"
)

// compile parses and links the named files of root and returns what protoc
// would send to a plugin for them, with output paths relative to the sources.
// Google's standard files can be imported without being below root. Warnings,
// such as one about an unused import, fail like errors; the error returned
// holds every fault with its position.
func compile(ctx context.Context, root string, names []string) (*pluginpb.CodeGeneratorRequest, error) {
	var faults []error
	compiler := protocompile.Compiler{
		Resolver: protocompile.WithStandardImports(&protocompile.SourceResolver{
			ImportPaths: []string{root},
		}),
		MaxParallelism: 1, // so that faults come in one order
		Reporter: reporter.NewReporter(
			func(err reporter.ErrorWithPos) error { faults = append(faults, err); return nil },
			func(err reporter.ErrorWithPos) { faults = append(faults, err) },
		),
		SourceInfoMode: protocompile.SourceInfoStandard, // carries comments into the code
	}
	files, err := compiler.Compile(ctx, names...)
	if err != nil && !errors.Is(err, reporter.ErrInvalidSource) {
		faults = append(faults, err)
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	request := &pluginpb.CodeGeneratorRequest{
		FileToGenerate: names,
		Parameter:      proto.String("paths=source_relative"),
	}
	seen := make(map[string]bool)
	for _, f := range files {
		request.ProtoFile = appendWithImports(request.ProtoFile, f, seen)
	}
	return request, nil
}

// appendWithImports appends to list the files that f imports, each before the
// files that import it, and then f. Files already in seen are left out.
func appendWithImports(list []*descriptorpb.FileDescriptorProto, f protoreflect.FileDescriptor, seen map[string]bool) []*descriptorpb.FileDescriptorProto {
	if seen[f.Path()] {
		return list
	}
	seen[f.Path()] = true
	for i := range f.Imports().Len() {
		list = appendWithImports(list, f.Imports().Get(i).FileDescriptor, seen)
	}
	return append(list, protoutil.ProtoFromFileDescriptor(f))
}
