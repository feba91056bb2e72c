package daemon

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// Where the programs look without --conf and for a file that names no Redis.
const (
	DefaultConf      = "/etc/mmm-manager/mmm.conf"
	DefaultAgentConf = "/etc/mmm-manager/mmm-agent.conf"
	DefaultRedis     = "127.0.0.1:6379"
)

// Flags are the flags that the programs share.
type Flags struct {
	Conf string
	// Tags are the tags asked for, once each; nil when none were. "all" is one of them as written.
	Tags  []string
	Redis string
	Debug bool
}

// FlagOptions says which of them a program has.
type FlagOptions struct {
	Conf string // default of --conf; empty: none of the shared flags at all
	Tag  bool   // has --tag
	// TagDefault says for the help what holds without --tag.
	TagDefault string
	// RequireTag: --tag must be given.
	RequireTag bool
	// Complete lists the tags in a configuration file, for the shell's completion; may be nil.
	Complete func(conf string) []string
}

// NewFlags adds the shared flags to cmd and its subcommands.
func NewFlags(cmd *cobra.Command, o FlagOptions) *Flags {
	f := &Flags{}
	if o.Conf == "" {
		return f
	}
	fs := cmd.PersistentFlags()
	fs.StringVarP(&f.Conf, "conf", "c", o.Conf, "configuration `FILE`")
	fs.Var((*address)(&f.Redis), "redis", "Redis where the configuration names none")
	f.Redis = DefaultRedis
	fs.Lookup("redis").DefValue = DefaultRedis
	fs.BoolVar(&f.Debug, "debug", false, "log every sample and step")
	_ = cmd.MarkPersistentFlagFilename("conf", "conf")
	if o.Tag {
		usage := "sections of the configuration to work for, joined by commas, or all"
		if o.TagDefault != "" {
			usage += " (default " + o.TagDefault + ")"
		}
		fs.VarP((*tags)(&f.Tags), "tag", "t", usage)
		_ = cmd.RegisterFlagCompletionFunc("tag", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			if o.Complete == nil {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return append(o.Complete(f.Conf), "all"), cobra.ShellCompDirectiveNoFileComp
		})
	}
	if o.RequireTag {
		_ = cmd.MarkPersistentFlagRequired("tag")
	}
	cmd.SetGlobalNormalizationFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		if name == "config" {
			name = "conf"
		}
		return pflag.NormalizedName(name)
	})
	return f
}

// tags is a flag that may be repeated and holds a list.
type tags []string

func (t *tags) String() string { return strings.Join(*t, ",") }
func (t *tags) Type() string   { return "TAG[,TAG...]" }
func (t *tags) Set(text string) error {
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			return Usagef("a tag is empty")
		}
		if !slices.Contains(*t, part) {
			*t = append(*t, part)
		}
	}
	return nil
}

// address is a flag that holds host:port.
type address string

func (a *address) String() string { return string(*a) }
func (a *address) Type() string   { return "HOST:PORT" }
func (a *address) Set(text string) error {
	e, err := cluster.ParseEndpoint(text)
	*a = address(e)
	return err
}

// longFlags are the names of all long flags of cmd and its subcommands.
func longFlags(cmd *cobra.Command) []string {
	names := []string{"config", "help", "version"}
	note := func(f *pflag.Flag) { names = append(names, f.Name) }
	cmd.Flags().VisitAll(note)
	cmd.PersistentFlags().VisitAll(note)
	for _, sub := range cmd.Commands() {
		names = append(names, longFlags(sub)...)
	}
	return names
}

// Normalise rewrites -conf, -tag=a and their like, as the predecessor's users
// write them, to the form with two dashes; long are the names of the long flags.
// Arguments after "--" stay as they are.
func Normalise(args, long []string) []string {
	out := slices.Clone(args)
	for i, arg := range out {
		if arg == "--" {
			break
		}
		name, _, _ := strings.Cut(arg, "=")
		if len(name) > 2 && name[0] == '-' && name[1] != '-' && slices.Contains(long, name[1:]) {
			out[i] = "-" + arg
		}
	}
	return out
}
