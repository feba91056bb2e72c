package daemon

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// Main runs cmd on the process's arguments and returns the exit code. An error
// goes to standard error, one line for each thing that is wrong.
func Main(cmd *cobra.Command) int {
	return Execute(cmd, os.Args[1:], os.Stdout, os.Stderr)
}

// Execute is Main on given arguments and streams.
func Execute(cmd *cobra.Command, args []string, stdout, stderr io.Writer) int {
	args = Normalise(args, longFlags(cmd))
	cmd.SilenceUsage, cmd.SilenceErrors, cmd.DisableAutoGenTag = true, true, true
	cmd.SetArgs(args)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	cmd.PersistentFlags().BoolP("version", "V", false, "print the version")
	if asksVersion(args) {
		fmt.Fprintln(stdout, BuildInfo().Line(cmd.Name()))
		return ExitOK
	}
	begun := false
	note(cmd, &begun)
	_, err := cmd.ExecuteC()
	if err == nil {
		return ExitOK
	}
	code := CodeOf(err)
	hint := ""
	if !begun && code == ExitFailed {
		// What fails before the command begins is a wrong flag or argument.
		code = ExitUsage
	}
	if !begun && code == ExitUsage {
		hint = "; see " + cmd.Name() + " --help"
	}
	var exit *ExitError
	if !errors.As(err, &exit) || exit.Err != nil {
		for line := range strings.SplitSeq(strings.TrimRight(err.Error(), "\n"), "\n") {
			if strings.TrimSpace(line) != "" {
				fmt.Fprintf(stderr, "%s: %s%s\n", cmd.Name(), line, hint)
				hint = ""
			}
		}
	}
	return code
}

// note sets begun when the body of any command in the tree is entered. A command
// that says nothing about arguments takes none.
func note(cmd *cobra.Command, begun *bool) {
	if cmd.Args == nil && !cmd.HasSubCommands() {
		cmd.Args = noArgs
	}
	switch {
	case cmd.RunE != nil:
		body := cmd.RunE
		cmd.RunE = func(c *cobra.Command, args []string) error { *begun = true; return body(c, args) }
	case cmd.Run != nil:
		body := cmd.Run
		cmd.Run = func(c *cobra.Command, args []string) { *begun = true; body(c, args) }
	}
	for _, sub := range cmd.Commands() {
		note(sub, begun)
	}
}

func noArgs(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return Usagef("argument %q is not understood", args[0])
	}
	return nil
}

// asksVersion looks at the arguments itself: cobra would first insist on
// required flags.
func asksVersion(args []string) bool {
	if end := slices.Index(args, "--"); end >= 0 {
		args = args[:end]
	}
	return slices.Contains(args, "--version") || slices.Contains(args, "-V")
}
