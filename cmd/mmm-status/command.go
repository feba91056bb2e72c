package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/config"
	"github.com/mmm-manager/mmm-manager/pkg/daemon"
	"github.com/mmm-manager/mmm-manager/pkg/redisbus"
	"github.com/mmm-manager/mmm-manager/pkg/status"
	"github.com/mmm-manager/mmm-manager/pkg/tags"
)

const defaultWatch = 2 * time.Second

// program is one call of mmm-status.
type program struct {
	flags    *daemon.Flags
	form     string
	colour   string
	watch    interval
	watching bool
	out, err io.Writer
	terminal bool
	width    int
}

func newCommand() *cobra.Command {
	p := &program{watch: interval(defaultWatch)}
	cmd := &cobra.Command{
		Use:   "mmm-status",
		Short: "Report how pairs of MySQL or MariaDB servers stand",
		Long: `mmm-status reads the bus and reports each tag: who is active, how both servers
are, what protects the data, and why a failover would or would not happen now.

On a terminal it draws a tree; elsewhere it prints the predecessor's text.`,
		Example: `  mmm-status
  mmm-status --tag mysql3308 --watch
  mmm-status -o json | jq '.tags[] | {tag, active, condition}'
  mmm-status -o json --watch=5s        # one JSON document in a line, again and again`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p.out, p.err = cmd.OutOrStdout(), cmd.ErrOrStderr()
			p.watching = cmd.Flags().Changed("watch")
			if len(args) == 1 {
				// "--watch 5" reads as a flag and an argument.
				if !p.watching {
					return daemon.Usagef("unknown argument %q", args[0])
				}
				if err := p.watch.Set(args[0]); err != nil {
					return daemon.Usagef("read --watch %s: %v", args[0], err)
				}
			}
			if f, ok := p.out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
				p.terminal = true
				p.width, _, _ = term.GetSize(int(f.Fd()))
			}
			return p.run(cmd.Context())
		},
	}
	p.flags = daemon.NewFlags(cmd, daemon.FlagOptions{Conf: daemon.DefaultConf, Tag: true, TagDefault: "all", Complete: config.Complete})
	f := cmd.Flags()
	f.StringVarP(&p.form, "output", "o", "", "form: legacy, tree or json (default tree on a terminal, else legacy); --format is the same")
	f.StringVar(&p.colour, "color", "auto", "colours: auto, always or never")
	f.VarP(&p.watch, "watch", "w", "look again at each change and at least every `INTERVAL`")
	f.Lookup("watch").NoOptDefVal = defaultWatch.String()
	// Some names for the same thing, beside those that all programs share.
	shared := cmd.GlobalNormalizationFunc()
	f.SetNormalizeFunc(func(fs *pflag.FlagSet, name string) pflag.NormalizedName {
		switch name {
		case "format":
			name = "output"
		case "colour":
			name = "color"
		}
		if shared != nil {
			return shared(fs, name)
		}
		return pflag.NormalizedName(name)
	})
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"legacy", "tree", "json"}, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("color", cobra.FixedCompletions([]string{"auto", "always", "never"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (p *program) run(ctx context.Context) error {
	switch p.form {
	case "":
		p.form = "legacy"
		if p.terminal {
			p.form = "tree"
		}
	case "legacy", "tree", "json":
	default:
		return daemon.Usagef("read --output %q: want legacy, tree or json", p.form)
	}
	style, err := status.ChooseStyle(status.ColourMode(p.colour), p.terminal, os.Getenv)
	if err != nil {
		return daemon.Usagef("%v", err)
	}
	style.Width = p.width

	pairs, _ := config.LoadPairs(p.flags.Conf)
	subjects, broken, err := choose(pairs, p.flags.Tags)
	if err != nil {
		return p.failed("configuration", err)
	}
	redis := pairs.Redis.OrAddr(p.flags.Redis)
	bus := redisbus.New(tags.BusOptions(redis, "mmm-status"))
	defer func() { _ = bus.Close() }()
	service := status.New(status.Options{
		Bus: bus, Subjects: subjects, Broken: broken,
		BusHint: fmt.Sprintf("is Redis at %s up, and reachable from here? Section [redis] of %s says where it is", redis, p.flags.Conf),
	})
	for _, b := range broken {
		for line := range strings.Lines(b.Failure.Message) {
			fmt.Fprintf(p.err, "mmm-status: %s\n", strings.TrimRight(line, "\n"))
		}
	}
	// The predecessor's readers know INT, and that it ends the program at once.
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	if p.watching {
		return p.follow(ctx, service, bus, subjects, style)
	}
	var r status.Report
	if p.form == "legacy" {
		r = service.Look(ctx)
	} else {
		r = service.LookSettled(ctx)
	}
	if ctx.Err() != nil {
		return &daemon.ExitError{Code: daemon.ExitFailed}
	}
	if err := p.show(r, style); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	p.complain(r)
	return silently(r.ExitCode)
}

// complain says what is wrong with the bus where the report does not, or not alone.
func (p *program) complain(r status.Report) {
	if r.Error != nil {
		fmt.Fprintf(p.err, "mmm-status: %s\n", r.Error)
	}
	if r.Refused != nil && p.form == "legacy" {
		fmt.Fprintf(p.err, "mmm-status: %s\n", r.Refused)
	}
}

func (p *program) show(r status.Report, style status.Style) error {
	switch p.form {
	case "json":
		return status.JSON(p.out, r, p.watching)
	case "tree":
		return status.Tree(p.out, r, style)
	}
	return status.Legacy(p.out, r)
}

// failed reports what kept anything from being read, for machines too.
func (p *program) failed(code string, err error) error {
	if p.form == "json" {
		exit := daemon.CodeOf(err)
		_ = json.NewEncoder(p.out).Encode(map[string]any{
			"schema_version": status.SchemaVersion, "exit_code": exit, "error": status.Failure{Code: code, Message: err.Error()},
		})
	}
	return err
}

func silently(code int) error {
	if code == 0 {
		return nil
	}
	return &daemon.ExitError{Code: code}
}

// choose finds the tags to report on. What is wrong with one of them is no
// reason to hide another; err is for what leaves none at all.
func choose(pairs *config.Pairs, names []string) ([]status.Subject, []status.Broken, error) {
	var subjects []status.Subject
	var broken []status.Broken
	if len(names) == 0 || slices.Contains(names, "all") {
		tags, faults, err := pairs.Select(nil)
		if err != nil {
			return nil, nil, err
		}
		slices.SortFunc(tags, func(a, b config.Tag) int {
			if a.Tag < b.Tag {
				return -1
			}
			return 1
		})
		for _, t := range tags {
			subjects = append(subjects, subjectOf(t))
		}
		bad := map[string][]config.Fault{}
		var order []string
		for _, f := range faults.Errors() {
			if bad[f.Section] == nil {
				order = append(order, f.Section)
			}
			bad[f.Section] = append(bad[f.Section], f)
		}
		for _, section := range order {
			broken = append(broken, misconfigured(cluster.Tag(section), &config.Error{Faults: bad[section]}))
		}
		return subjects, broken, nil
	}
	for _, name := range names {
		tags, _, err := pairs.Select([]string{name})
		var missing *config.NoSuchTag
		var faulty *config.Error
		switch {
		case errors.As(err, &missing):
			broken = append(broken, status.Broken{Tag: cluster.Tag(name), Condition: status.UnknownTag, Failure: status.Failure{Code: "no-such-tag", Message: err.Error()}})
		case errors.As(err, &faulty) && slices.ContainsFunc(faulty.Faults, func(f config.Fault) bool { return f.Section == name }):
			broken = append(broken, misconfigured(cluster.Tag(name), err))
		case err != nil:
			return nil, nil, err
		default:
			subjects = append(subjects, subjectOf(tags[0]))
		}
	}
	return subjects, broken, nil
}

func misconfigured(tag cluster.Tag, err error) status.Broken {
	return status.Broken{Tag: tag, Condition: status.Misconfigured, Failure: status.Failure{
		Code: "configuration", Message: err.Error(), Hint: "mmmctl check-config shows all faults",
	}}
}

func subjectOf(t config.Tag) status.Subject {
	return status.Subject{Pair: t.Pair, Policy: status.Policy{
		Durability: t.Durability, Unfenced: string(t.Unfenced), MaxLoss: t.MaxLoss, FailoverBlock: t.FailoverBlock, Failback: string(t.Failback), FailbackAfter: t.FailbackAfter, Interval: t.Interval,
	}}
}

// interval is a duration flag that also takes plain seconds.
type interval time.Duration

func (i *interval) String() string { return time.Duration(*i).String() }
func (i *interval) Type() string   { return "INTERVAL" }
func (i *interval) Set(text string) error {
	d, err := time.ParseDuration(text)
	if s, ok := seconds(text); ok {
		d, err = s, nil
	}
	if err != nil || d < 100*time.Millisecond || d > 24*time.Hour {
		return fmt.Errorf("%q is no interval from 100ms to 24h: 2s, 0.5, 1m", text)
	}
	*i = interval(d)
	return nil
}

func seconds(text string) (time.Duration, bool) {
	s, err := strconv.ParseFloat(text, 64)
	if err != nil || s != s || s < 0 || s > 1e6 {
		return 0, false
	}
	return time.Duration(s * float64(time.Second)), true
}
