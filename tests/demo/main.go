// Command demo shows mmm-manager at work: a real pair on the loopback interface,
// its active killed with SIGKILL under an application's writes, the other server
// taking over, and the old one coming back closed. It exits 0 only when what
// happened is what the programs themselves reported.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/mmm-manager/mmm-manager/tests/harness"
)

func main() {
	bin := flag.String("bin", "bin", "folder with the built programs")
	flag.Parse()
	if missing := harness.Missing(); len(missing) > 0 {
		fmt.Fprintf(os.Stderr, "demo: not installed: %s; make demo gets what is missing\n", strings.Join(missing, ", "))
		os.Exit(69)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, 58*time.Second)
	defer cancel()
	if err := run(ctx, *bin, os.Getenv("KEEP") == "1"); err != nil {
		fmt.Fprintf(os.Stderr, "\ndemo: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, bin string, keep bool) (err error) {
	bin, err = filepath.Abs(bin)
	if err != nil {
		return fmt.Errorf("find programs: %w", err)
	}
	lab, err := harness.NewLab(harness.Options{Keep: keep})
	if err != nil {
		return err
	}
	d := &demo{lab: lab, out: os.Stdout, began: time.Now()}
	defer func() {
		if err != nil && d.site != nil {
			d.logs()
		}
		if keep {
			d.howToLook(bin)
			return
		}
		if closeErr := lab.Close(); err == nil {
			err = closeErr
		}
	}()
	return d.play(ctx, harness.Programs{Dir: bin})
}
