package main

import (
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// normalizeArgs returns args with -name and -name=value turned into the two-dash
// forms that root understands. Left alone are single letters, negative numbers,
// the values of flags, and everything after a lone "--".
func normalizeArgs(root *cobra.Command, args []string) []string {
	out := make([]string, 0, len(args))
	cmd := root
	for i := 0; i < len(args); i++ {
		arg := args[i]
		if arg == "--" {
			return append(out, args[i:]...)
		}
		if !isFlag(arg) {
			cmd = subcommand(cmd, arg)
			out = append(out, arg)
			continue
		}
		out = append(out, twoDashes(arg))
		if takesNext(cmd, arg) && i+1 < len(args) {
			i++
			out = append(out, args[i])
		}
	}
	return out
}

func isFlag(arg string) bool { return len(arg) > 1 && arg[0] == '-' }

// twoDashes adds the second dash to a flag of several letters.
func twoDashes(arg string) string {
	name, _, _ := strings.Cut(arg[1:], "=")
	if len(name) < 2 || !isLetter(name[0]) {
		return arg
	}
	return "-" + arg
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

// subcommand returns the command below cmd that arg names, or cmd.
func subcommand(cmd *cobra.Command, arg string) *cobra.Command {
	for _, c := range cmd.Commands() {
		if c.Name() == arg || c.HasAlias(arg) {
			return c
		}
	}
	return cmd
}

// takesNext reports whether the argument after this flag is its value.
func takesNext(cmd *cobra.Command, arg string) bool {
	name := strings.TrimLeft(arg, "-")
	if strings.Contains(name, "=") {
		return false
	}
	f := lookupFlag(cmd, name)
	return f != nil && f.NoOptDefVal == ""
}

func lookupFlag(cmd *cobra.Command, name string) *pflag.Flag {
	if len(name) == 1 {
		return cmd.Flags().ShorthandLookup(name)
	}
	if f := cmd.Flags().Lookup(name); f != nil {
		return f
	}
	return cmd.InheritedFlags().Lookup(name)
}
