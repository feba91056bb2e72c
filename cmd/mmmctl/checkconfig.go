package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/mmm-manager/mmm-manager/pkg/config"
	"github.com/mmm-manager/mmm-manager/pkg/control"
	"github.com/mmm-manager/mmm-manager/pkg/daemon"
)

func (p *program) checkConfigCommand() *cobra.Command {
	var agentConf string
	cmd := &cobra.Command{
		Use:   "check-config [FILE...]",
		Short: "Check configuration files of both kinds",
		Long: `check-config reads the files, tells mmm.conf from mmm-agent.conf by what is in
them, and prints every fault. Unknown keys are errors here, and so is what only
keeps an agent from sending mail. Two files, one of each kind, are compared: both
must name the same Redis and topic. It connects to nothing.

Without FILE it reads the files of --conf and --agent-conf, and without these the
two in /etc/mmm-manager that exist. With --tag it reads mmm.conf only, and what is
wrong with other tags does not count. Exit codes: 0 good, 7 no such tag, 78 not good.`,
		Args: cobra.ArbitraryArgs,
	}
	cmd.Flags().StringVar(&agentConf, "agent-conf", daemon.DefaultAgentConf, "the agent's `FILE`")
	_ = cmd.MarkFlagFilename("agent-conf", "conf")
	cmd.RunE = p.verb(func(_ context.Context, args []string) error {
		var files []checkedFile
		if len(p.flags.Tags) > 0 {
			if len(args) > 0 || cmd.Flags().Changed("agent-conf") {
				return daemon.Usagef("--tag is for mmm.conf: name it with --conf, and no other file")
			}
			one, err := checkTags(p.flags.Conf, p.flags.Tags)
			if err != nil {
				return err
			}
			return p.printFiles(append(files, one))
		}
		conf, agent := cmd.Flags().Changed("conf"), cmd.Flags().Changed("agent-conf")
		for _, path := range args {
			files = append(files, checkFile(path))
		}
		if conf {
			files = append(files, checkPairs(p.flags.Conf))
		}
		if agent {
			files = append(files, checkAgent(agentConf))
		}
		if len(args) == 0 && !conf && !agent {
			files = checkUsual(p.flags.Conf, agentConf)
		}
		compareFiles(files)
		return p.printFiles(files)
	})
	return cmd
}

// checkedFile is what check-config says of one file.
type checkedFile struct {
	File   string       `json:"file"`
	Kind   string       `json:"kind"`
	Good   bool         `json:"good"`
	Faults []foundFault `json:"faults"`
}

type foundFault struct {
	Line     int    `json:"line,omitempty"`
	Section  string `json:"section,omitempty"`
	Key      string `json:"key,omitempty"`
	Severity string `json:"severity"`
	Text     string `json:"text"`
	Hint     string `json:"hint,omitempty"`
	line     string
}

// checkTags leaves out what concerns other tags.
func checkTags(path string, tags []string) (checkedFile, error) {
	pairs, _ := config.LoadPairs(path)
	_, faults, err := pairs.Select(tags)
	var none *config.NoSuchTag
	if errors.As(err, &none) {
		return checkedFile{}, err
	}
	return checkedOf(path, config.KindPairs, faults), nil
}

func checkPairs(path string) checkedFile {
	_, faults := config.LoadPairs(path)
	return checkedOf(path, config.KindPairs, faults)
}

func checkAgent(path string) checkedFile {
	_, faults := config.LoadAgent(path)
	return checkedOf(path, config.KindAgent, faults)
}

func checkFile(path string) checkedFile {
	if config.KindOf(path) == config.KindAgent {
		return checkAgent(path)
	}
	return checkPairs(path)
}

// checkUsual checks those of the usual two files that are there: a host may need
// one of them only. With neither there both are at fault.
func checkUsual(conf, agentConf string) []checkedFile {
	var files []checkedFile
	if exists(conf) {
		files = append(files, checkPairs(conf))
	}
	if exists(agentConf) {
		files = append(files, checkAgent(agentConf))
	}
	if len(files) > 0 {
		return files
	}
	return []checkedFile{absent(conf, config.KindPairs), absent(agentConf, config.KindAgent)}
}

// compareFiles adds what two files, one of each kind, say differently. It is told
// with the agent's.
func compareFiles(files []checkedFile) {
	if len(files) != 2 || files[0].Kind == files[1].Kind {
		return
	}
	conf, agent := &files[0], &files[1]
	if conf.Kind == string(config.KindAgent) {
		conf, agent = agent, conf
	}
	faults := config.Compare(conf.File, agent.File)
	agent.Good = agent.Good && faults.Err() == nil
	for _, f := range faults.All() {
		agent.Faults = append(agent.Faults, told(f))
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, os.ErrNotExist)
}

func absent(path string, kind config.Kind) checkedFile {
	f := config.Fault{File: path, Text: "there is no such file", Hint: "name another: mmmctl check-config FILE"}
	return checkedFile{File: path, Kind: string(kind), Faults: []foundFault{told(f)}}
}

func (c checkedFile) errors() int {
	n := 0
	for _, f := range c.Faults {
		if f.Severity == "error" {
			n++
		}
	}
	return n
}

func checkedOf(path string, kind config.Kind, faults *config.Faults) checkedFile {
	c := checkedFile{File: path, Kind: string(kind), Good: faults.ErrStrict() == nil, Faults: []foundFault{}}
	for _, f := range faults.All() {
		c.Faults = append(c.Faults, told(f))
	}
	return c
}

// told words a fault; one that is a warning elsewhere may be an error here.
func told(f config.Fault) foundFault {
	f.Warning = f.Warning && !f.Strict
	severity := "error"
	if f.Warning {
		severity = "warning"
	}
	return foundFault{f.Line, f.Section, f.Key, severity, f.Text, f.Hint, f.String()}
}

func (p *program) printFiles(files []checkedFile) error {
	code := 0
	for _, f := range files {
		if !f.Good {
			code = daemon.ExitConfig
		}
	}
	if p.form == "json" {
		if err := control.PrintJSON(p.out, "files", files); err != nil {
			return err
		}
		return silently(code)
	}
	for _, f := range files {
		for _, x := range f.Faults {
			fmt.Fprintln(p.out, x.line)
		}
		if f.Good {
			fmt.Fprintf(p.out, "%s: good (%s)\n", f.File, f.Kind)
		} else {
			fmt.Fprintf(p.out, "%s: %s (%s)\n", f.File, counted(f.errors(), "error"), f.Kind)
		}
	}
	return silently(code)
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
