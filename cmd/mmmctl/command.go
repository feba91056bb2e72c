package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"os/user"
	"strings"
	"syscall"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/config"
	"github.com/mmm-manager/mmm-manager/pkg/control"
	"github.com/mmm-manager/mmm-manager/pkg/daemon"
	"github.com/mmm-manager/mmm-manager/pkg/redisbus"
	"github.com/mmm-manager/mmm-manager/pkg/tags"
)

// program is one call of mmmctl.
type program struct {
	flags    *daemon.Flags
	form     string
	out, err io.Writer
	in       io.Reader
	// busHint is what a person may do about a bus that does not answer.
	busHint string
}

func newCommand() *cobra.Command {
	p := &program{}
	cmd := &cobra.Command{
		Use:   "mmmctl",
		Short: "Operate pairs of MySQL or MariaDB servers",
		Long: `mmmctl operates the pairs that mmm.conf names. It moves nothing itself: a
switchover, a failover or an acknowledgement is filed on the bus and carried out by
the leading mmm-identify.

Exit codes: 0 done, 1 failed or rolled back, 2 usage, 3 warnings, 4 no active,
5 refused by a safety rule, 6 outcome unknown, 7 no such tag or node, 69 bus or
server unreachable, 78 configuration.`,
		// Without it cobra takes a wrong verb for a call for help.
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_ = cmd.Help()
			return daemon.Usagef("give a verb")
		},
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			p.out, p.err, p.in = cmd.OutOrStdout(), cmd.ErrOrStderr(), cmd.InOrStdin()
			if p.form != "text" && p.form != "json" {
				form := p.form
				p.form = "text"
				return daemon.Usagef("read --output %q: want text or json", form)
			}
			return nil
		},
	}
	p.flags = daemon.NewFlags(cmd, daemon.FlagOptions{Conf: daemon.DefaultConf, Tag: true, TagDefault: "all to list, history and check; other verbs need it", Complete: config.Complete})
	cmd.PersistentFlags().StringVarP(&p.form, "output", "o", "text", "form: text or json")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp))
	cmd.AddCommand(p.switchoverCommand(), p.failoverCommand(), p.acknowledgeCommand(), p.durabilityCommand(), p.pauseCommand(), p.resumeCommand(), p.listCommand(), p.historyCommand(), p.rejoinCommand(), p.checkCommand(), p.grantsCommand(), p.checkConfigCommand())
	return cmd
}

// verb wraps the body of a verb: interruptible, and its error in the form asked for.
func (p *program) verb(body func(ctx context.Context, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		return p.told(body(ctx, args))
	}
}

// told adds hint and exit code to an error, and writes it as JSON where that is asked for.
func (p *program) told(err error) error {
	if err == nil {
		return nil
	}
	var silent *daemon.ExitError
	if errors.As(err, &silent) && silent.Err == nil {
		return err
	}
	var e *control.Error
	if !errors.As(err, &e) {
		e = &control.Error{Code: codeName(daemon.CodeOf(err)), Message: err.Error(), Exit: daemon.CodeOf(err), Err: err}
	}
	if bus, is := errors.AsType[*redisbus.Error](e.Err); is && e.Exit == daemon.ExitUnreachable && e.Hint == "" && bus.WayOut() == "" && !unreadable(bus) {
		hinted := *e
		hinted.Hint, e = p.busHint, &hinted
	}
	if p.form == "json" {
		_ = control.PrintJSON(p.out, "error", e)
	}
	text := e.Message
	if e.Hint != "" {
		text += " (" + e.Hint + ")"
	}
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		lines[i] = control.Printable(l)
	}
	return daemon.Exit(e.Exit, errors.New(strings.Join(lines, "\n")))
}

func codeName(exit int) string {
	switch exit {
	case daemon.ExitUsage:
		return "usage"
	case daemon.ExitNotFound:
		return "no-such-tag"
	case daemon.ExitConfig:
		return "configuration"
	case daemon.ExitUnreachable:
		return "bus-unreachable"
	}
	return "failed"
}

func silently(code int) error {
	if code == 0 {
		return nil
	}
	return &daemon.ExitError{Code: code}
}

// tags reads the file and gives the chosen tags; what is wrong with others is
// told on standard error and in the exit code.
func (p *program) tags(all bool) (pairs *config.Pairs, tags []config.Tag, code int, err error) {
	if len(p.flags.Tags) == 0 && !all {
		return nil, nil, 0, daemon.Usagef("which tag? give --tag TAG, or --tag all")
	}
	pairs, _ = config.LoadPairs(p.flags.Conf)
	tags, faults, err := pairs.Select(p.flags.Tags)
	if err != nil {
		return nil, nil, 0, err
	}
	for _, f := range faults.Errors() {
		fmt.Fprintf(p.err, "mmmctl: %s\n", f)
		code = daemon.ExitConfig
	}
	return pairs, tags, code, nil
}

// one gives the one tag that a verb is for.
func (p *program) one() (*config.Pairs, config.Tag, error) {
	if len(p.flags.Tags) != 1 || p.flags.Tags[0] == "all" {
		return nil, config.Tag{}, daemon.Usagef("which tag? give one with --tag")
	}
	pairs, tags, _, err := p.tags(false)
	if err != nil {
		return nil, config.Tag{}, err
	}
	return pairs, tags[0], nil
}

func (p *program) open(pairs *config.Pairs) *redisbus.Bus {
	r := pairs.Redis.OrAddr(p.flags.Redis)
	p.busHint = fmt.Sprintf("is Redis at %s up, and reachable from here? Section [redis] of %s says where it is", r, p.flags.Conf)
	return redisbus.New(tags.BusOptions(r, "mmmctl"))
}

// service opens the bus. The function that it returns closes it.
func (p *program) service(ctx context.Context, pairs *config.Pairs, listen ...cluster.UniqSign) (*control.Service, func()) {
	bus := p.open(pairs)
	var wake <-chan struct{}
	if len(listen) > 0 {
		wake = wakes(ctx, bus, listen)
	}
	s := control.New(control.Options{Bus: adapter{bus}, Wake: wake, Actor: actor(), NewID: uuid.NewString})
	return s, func() { _ = bus.Close() }
}

// adapter gives redisbus the words of control.
type adapter struct{ *redisbus.Bus }

func (a adapter) FileRequest(ctx context.Context, u cluster.UniqSign, r cluster.Request) error {
	err := a.Bus.FileRequest(ctx, u, r)
	switch {
	case errors.Is(err, redisbus.ErrBusy):
		return named{err, control.ErrBusy}
	case notFiled(err):
		return named{err, control.ErrNotFiled}
	}
	return err
}

// notFiled reports whether the bus has said that it wrote nothing. A user who may write and
// not tell of it is refused when the request is there.
func notFiled(err error) bool {
	refused, is := errors.AsType[*redisbus.Error](err)
	return unreadable(err) || is && refused.Answer() != "" && refused.Answer() != "NOPERM"
}

// unreadable reports whether a record stands in the way, which err names with the way out.
func unreadable(err error) bool {
	_, kind := errors.AsType[*redisbus.WrongTypeError](err)
	_, value := errors.AsType[*redisbus.ValueError](err)
	return kind || value
}

// named is an error under a name that control knows.
type named struct {
	error
	name error
}

func (n named) Unwrap() []error { return []error{n.error, n.name} }

func wakes(ctx context.Context, bus *redisbus.Bus, signs []cluster.UniqSign) <-chan struct{} {
	sub := bus.Subscribe(ctx, redisbus.Channels{UniqSigns: signs})
	nudge := make(chan struct{}, 1)
	go func() {
		for range sub.C() {
			select {
			case nudge <- struct{}{}:
			default:
			}
		}
	}()
	return nudge
}

// actor is who asks: the person behind sudo before root.
func actor() string {
	name := os.Getenv("SUDO_USER")
	if name == "" {
		if u, err := user.Current(); err == nil {
			name = u.Username
		}
	}
	if name == "" {
		name = fmt.Sprintf("uid %d", os.Getuid())
	}
	host, err := os.Hostname()
	if err != nil {
		return name
	}
	return name + "@" + host
}
