// Command lab breaks a whole pair on hosts of its own, fault after fault from a printed seed, and checks
// what became of every acknowledged write. It needs root: it makes network namespaces, bridges, packet filters
// and small disks, all of which end with it.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/mmm-manager/mmm-manager/tests/lab/cell"
	"github.com/mmm-manager/mmm-manager/tests/lab/disk"
	"github.com/mmm-manager/mmm-manager/tests/lab/fault"
	"github.com/mmm-manager/mmm-manager/tests/lab/site"
)

// arguments say what is done.
type arguments struct {
	bin, previous string
	seeds         [2]uint64
	rounds, round int
	minutes       float64
	mode          site.Mode
	plan          string
	only          string
	every         time.Duration // a client pauses
	script        fault.Script  // none when the seed draws
	keep          string
	record        string
	sentinels     string
}

// The plans.
const (
	planStorm    = "storm"
	planMonitors = "monitors"
	planRedis    = "redis"
	planBusy     = "busy"
)

var plans = []string{planStorm, planMonitors, planRedis, planBusy}

func parse(args []string) (arguments, error) {
	a := arguments{}
	set := flag.NewFlagSet("lab", flag.ContinueOnError)
	set.StringVar(&a.bin, "bin", "", "folder of the built programs")
	set.StringVar(&a.previous, "previous", "", "folder of programs of a previous version, for faults that need them")
	seeds := set.String("seeds", "", "N or N-M: each seed is a pair of its own; one from the clock by default")
	set.IntVar(&a.rounds, "rounds", 10, "rounds for each seed: one fault, or two at once")
	set.IntVar(&a.round, "round", 0, "this round of the seed alone")
	set.Float64Var(&a.minutes, "minutes", 0, "begin no round after so many minutes; 0 is no bound")
	mode := set.String("mode", string(site.SemiSync), "semisync, semisync-strict, async, or classic: one agent far from the servers, async")
	set.StringVar(&a.plan, "plan", planStorm, "storm: all faults; monitors: monitors alone are cut off; redis: Redis is away for -minutes (10); busy: all processors are busy for -rounds of 150 s")
	set.StringVar(&a.only, "only", "", "faults whose words begin with this alone, as in \"stop server\"; \"list\" lists the kinds")
	set.DurationVar(&a.every, "every", paceOfClients, "pause of a client between two rows: more where the passive cannot keep up")
	script := set.String("script", "", "file with what happens, a round on each line as they are printed, over and over, in place of what the seed draws")
	set.StringVar(&a.keep, "keep", "", "folder for histories and logs of findings; lab-findings in the folder of temporary files by default")
	set.StringVar(&a.record, "record", "", "folder of tests: the sums are added to its record")
	set.StringVar(&a.sentinels, "sentinels", "seed", "three Redis with sentinels: yes, no, or as the seed says")
	if err := set.Parse(args); err != nil {
		return a, err
	}
	a.mode = site.Mode(*mode)
	switch {
	case a.only == "list":
		fmt.Println(strings.Join(fault.Kinds(), "\n"))
		return a, flag.ErrHelp
	case !slices.Contains(site.Modes, a.mode):
		return a, fmt.Errorf("-mode %s: it is one of %v", *mode, site.Modes)
	case !slices.Contains(plans, a.plan):
		return a, fmt.Errorf("-plan %s: it is one of %v", a.plan, plans)
	case !slices.Contains([]string{"yes", "no", "seed"}, a.sentinels):
		return a, fmt.Errorf("-sentinels %s: it is yes, no or seed", a.sentinels)
	case a.bin == "":
		return a, errors.New("-bin: the folder of the built programs is missing")
	case set.NArg() > 0:
		return a, fmt.Errorf("%q is no flag", set.Arg(0))
	}
	var err error
	if *script != "" {
		if a.script, err = readScript(*script); err != nil {
			return a, err
		}
	}
	for _, path := range []*string{&a.bin, &a.previous, &a.keep, &a.record} {
		if *path == "" {
			continue
		}
		if *path, err = filepath.Abs(*path); err != nil {
			return a, err
		}
	}
	if a.keep == "" {
		a.keep = filepath.Join("/tmp", "lab-findings")
	}
	a.seeds, err = parseSeeds(*seeds)
	return a, err
}

func readScript(path string) (fault.Script, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	script, err := fault.ParseScript(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return script, nil
}

func parseSeeds(text string) (seeds [2]uint64, err error) {
	if text == "" {
		now := uint64(time.Now().UnixMilli())
		return [2]uint64{now, now}, nil
	}
	from, to, isRange := strings.Cut(text, "-")
	if !isRange {
		to = from
	}
	for i, part := range []string{from, to} {
		if seeds[i], err = strconv.ParseUint(part, 10, 64); err != nil {
			return seeds, fmt.Errorf("-seeds %s: it is N or N-M", text)
		}
	}
	if seeds[1] < seeds[0] {
		return seeds, fmt.Errorf("-seeds %s: the second is below the first", text)
	}
	return seeds, nil
}

func main() {
	if len(os.Args) == 2 && os.Args[1] == thawer {
		if err := disk.Thawer(os.NewFile(3, "socket")); err != nil {
			fmt.Fprintln(os.Stderr, "lab: thaw:", err)
			os.Exit(1)
		}
		return
	}
	a, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
		os.Exit(2)
	}
	if !cell.Inside() {
		code, err := outside(a)
		if err != nil {
			fmt.Fprintln(os.Stderr, "lab:", err)
		}
		os.Exit(code)
	}
	if err := inside(a); err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
		os.Exit(1)
	}
}

// thawer is the argument of the process that thaws disks.
const thawer = "thawer"

const folderPrefix = "mmm-storm-"

// outside makes the folder and the thawer, runs the laboratory in a cell, and cleans up.
func outside(a arguments) (int, error) {
	if os.Geteuid() != 0 {
		return 77, errors.New("it makes namespaces, packet filters and disks, and needs root")
	}
	sweep()
	dir, err := os.MkdirTemp("", fmt.Sprintf("%s%d-", folderPrefix, os.Getpid()))
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o711); err != nil {
		return 1, err
	}
	if err := os.MkdirAll(a.keep, 0o755); err != nil {
		return 1, err
	}
	self, err := os.Executable()
	if err != nil {
		return 1, err
	}
	thaws, err := disk.StartThawer(self, thawer)
	if err != nil {
		return 1, err
	}
	code, err := cell.Run(dir, thaws.Client)
	return code, errors.Join(err, thaws.Client.Close(), thaws.Wait())
}

// sweep removes folders that were left by laboratories whose process is gone.
func sweep() {
	dirs, _ := filepath.Glob(filepath.Join(os.TempDir(), folderPrefix+"*"))
	for _, dir := range dirs {
		pid, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), folderPrefix), "-")
		if number, err := strconv.Atoi(pid); err == nil && errors.Is(syscall.Kill(number, 0), syscall.ESRCH) {
			_ = os.RemoveAll(dir)
		}
	}
}
