// Command sim runs schedules of the simulated world: many in a given time, or
// some that are named.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"hash/fnv"
	"os"
	"runtime/debug"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/mmm-manager/mmm-manager/tests/sim/world"
)

func main() { os.Exit(run()) }

func run() int {
	seconds := flag.Int("seconds", 60, "how long to run; seeds are counted up from the first of -seeds")
	seeds := flag.String("seeds", "", "the worlds of the seeds from a to b, as a-b, and no others; a- runs from there for -seconds")
	seed := flag.Uint64("seed", 0, "this seed alone")
	spec := flag.String("spec", "", "the schedule in this file alone")
	trace := flag.Bool("trace", false, "with -seed or -spec: print all that happens")
	cores := flag.Int("cores", 2, "how many run side by side")
	most := flag.Int("most", 5, "end after so many violations")
	shrink := flag.Int("shrink", 200, "how many runs the shrinking of a violation may take; 0 for none")
	profile := flag.String("profile", "", "write a processor profile to this file")
	flag.Parse()
	// Worlds are many and short-lived: collecting them seldom is cheaper.
	debug.SetGCPercent(3200)

	switch {
	case *seed != 0:
		return one(world.Draw(*seed), *trace)
	case *spec != "":
		s, err := read(*spec)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 2
		}
		return one(s, *trace)
	}
	first, last, err := span(*seeds)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	if *profile != "" {
		f, err := os.Create(*profile)
		if err == nil {
			err = pprof.StartCPUProfile(f)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 2
		}
		defer pprof.StopCPUProfile()
	}
	s := &search{next: first, last: last, most: *most, began: time.Now(), until: time.Now().Add(time.Duration(*seconds) * time.Second)}
	var all sync.WaitGroup
	for range *cores {
		all.Go(s.work)
	}
	all.Wait()
	return s.tell(*cores, *shrink)
}

func read(file string) (s world.Spec, err error) {
	text, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(text, &s)
	}
	if err != nil {
		return s, fmt.Errorf("read schedule %s: %w", file, err)
	}
	return s, nil
}

// one runs one schedule.
func one(spec world.Spec, trace bool) int {
	fmt.Println(spec)
	run := world.Run
	if trace {
		run = world.RunTraced
	}
	out := run(spec)
	fmt.Print(out.Trace)
	fmt.Printf("%d events and %d rounds in %s of the world's time\n", out.Events, out.Rounds, out.Took)
	if out.Violation != nil {
		fmt.Println(out.Violation)
		return 1
	}
	return 0
}

// span reads a-b, a- or nothing.
func span(text string) (first, last uint64, err error) {
	if text == "" {
		return 1, 0, nil
	}
	a, b, found := strings.Cut(text, "-")
	first, err = strconv.ParseUint(a, 10, 64)
	if err == nil && found && b != "" {
		last, err = strconv.ParseUint(b, 10, 64)
	} else if !found {
		last = first
	}
	if err != nil {
		return 0, 0, fmt.Errorf("read seeds %q: want a-b: %w", text, err)
	}
	return first, last, nil
}

// search is many schedules on several cores.
type search struct {
	next  uint64
	last  uint64 // 0: until the time is over
	most  int
	began time.Time
	until time.Time

	n      atomic.Uint64 // seeds given out
	mu     sync.Mutex
	worlds uint64
	rounds uint64 // of all worlds; each is a schedule
	events uint64
	took   time.Duration // of the worlds' time
	seen   world.Counters
	digest uint64 // of all outcomes, whatever their order
	broken []broken
}

type broken struct {
	seed uint64
	out  world.Outcome
}

func (s *search) work() {
	for {
		seed := s.next + s.n.Add(1) - 1
		if s.last != 0 && seed > s.last || s.last == 0 && time.Now().After(s.until) || s.enough() {
			return
		}
		out := world.Run(world.Draw(seed))
		s.mu.Lock()
		s.worlds++
		s.rounds += uint64(out.Rounds)
		s.events += out.Events
		s.took += out.Took
		s.seen.Add(&out.Seen)
		if s.last != 0 {
			s.digest += digest(seed, out)
		}
		if out.Violation != nil {
			s.broken = append(s.broken, broken{seed, out})
			fmt.Fprintf(os.Stderr, "%s after %d schedules: seed %d: %s\n", time.Since(s.began).Round(time.Second), s.rounds, seed, out.Violation)
		}
		s.mu.Unlock()
	}
}

func (s *search) enough() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.broken) >= s.most
}

// tell prints what was found.
func (s *search) tell(cores, shrink int) int {
	took := time.Since(s.began)
	fmt.Print(s.seen.String())
	n := max(1, s.rounds)
	fmt.Printf("%d schedules in %d worlds from seed %d in %s: %.0f a second and core, %.0f a second of processor time; each %.0f events, %s of the world's time\n",
		s.rounds, s.worlds, s.next, took.Round(time.Millisecond), float64(s.rounds)/took.Seconds()/float64(cores), float64(s.rounds)/processor().Seconds(),
		float64(s.events)/float64(n), (s.took / time.Duration(n)).Round(time.Millisecond))
	if s.last != 0 {
		fmt.Printf("the digest of what happened is %016x\n", s.digest)
	}
	for _, b := range s.broken {
		fmt.Printf("\nseed %d: %s\nagain with: go run ./tests/sim -seed %d -trace\n", b.seed, b.out.Violation, b.seed)
		if shrink > 0 {
			broke := b.out.Violation.Invariant
			fmt.Println("less is enough:", world.Shrink(world.Draw(b.seed), func(spec world.Spec) bool {
				v := world.Run(spec).Violation
				return v != nil && v.Invariant == broke
			}, shrink))
		}
	}
	if len(s.broken) > 0 {
		return 1
	}
	return 0
}

// digest tells whether a change of the code has changed what happens in a schedule.
func digest(seed uint64, out world.Outcome) uint64 {
	h := fnv.New64a()
	broken := ""
	if out.Violation != nil {
		broken = out.Violation.String()
	}
	fmt.Fprintln(h, seed, out.Rounds, out.Events, out.Took, broken, out.Seen)
	return h.Sum64()
}

// processor is the processor time that this process has used.
func processor() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return time.Nanosecond
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
