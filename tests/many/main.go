// Command many measures one process of each daemon that works for many pairs, of
// stand-in servers, over one real Redis: how late samples are, what the processes cost,
// and how soon many failovers at once are decided. It prints Markdown, and fails where a bound is missed.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	// The stand-ins share the machine with what is measured: waking a second processor for each
	// question would cost more than the answer.
	runtime.GOMAXPROCS(1)
	debug.SetGCPercent(400) // their memory is nobody's matter
	bin := flag.String("bin", "bin", "folder with the built programs")
	sizes := flag.String("pairs", "10,100,1000", "numbers of pairs to measure")
	idle := flag.Duration("idle", time.Minute, "for how long to look while nothing happens")
	fail := flag.Int("fail", 100, "how many actives are killed within a second, all where there are fewer")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	missed, err := run(ctx, *bin, *sizes, *idle, *fail)
	if err != nil {
		fmt.Fprintf(os.Stderr, "many: %v\n", err)
		os.Exit(1)
	}
	if len(missed) > 0 {
		fmt.Fprintf(os.Stderr, "many: bounds missed: %s\n", strings.Join(missed, "; "))
		os.Exit(1)
	}
}

func run(ctx context.Context, bin, sizes string, idle time.Duration, fail int) (missed []string, err error) {
	if bin, err = filepath.Abs(bin); err != nil {
		return nil, err
	}
	var counts []int
	for size := range strings.SplitSeq(sizes, ",") {
		n, err := strconv.Atoi(size)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("-pairs %s: %q is no number of pairs", sizes, size)
		}
		counts = append(counts, n)
	}
	var results []result
	for _, n := range counts {
		r, err := measure(ctx, options{bin: bin, pairs: n, idle: idle, fail: min(fail, n), log: os.Stderr})
		if err != nil {
			return nil, fmt.Errorf("%d pairs: %w", n, err)
		}
		missed = append(missed, r.missed()...)
		results = append(results, r)
	}
	fmt.Printf("%d cores, %s; one process of each daemon, interval=1, stand-in servers and Redis on the same machine; %s without a fault\n", runtime.NumCPU(), runtime.Version(), idle)
	report(os.Stdout, results)
	return missed, nil
}
