package e2e

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/tests/harness"
)

// The laboratory, and the programs: as built, and with failpoints.
var (
	lab        *harness.Lab
	programs   harness.Programs
	failpoints harness.Programs
)

func TestMain(m *testing.M) {
	flag.Parse()
	if flag.Lookup("test.list").Value.String() != "" {
		os.Exit(m.Run())
	}
	os.Exit(runAll(m))
}

func runAll(m *testing.M) int {
	if missing := harness.Missing(); len(missing) > 0 {
		fmt.Printf("SKIPPED: every end-to-end test on %s: not installed: %s; make test gets what is missing\n", harness.ChosenFlavor(), strings.Join(missing, ", "))
		if harness.MissingIsFailure() {
			return 1
		}
		return 0
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	var err error
	if lab, err = harness.NewLab(harness.Options{}); err != nil {
		fmt.Println(err)
		return 1
	}
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		<-interrupted
		_ = lab.Close()
		os.Exit(1)
	}()
	defer lab.Close()
	versions, err := lab.Versions(ctx)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("servers:", strings.Join(versions, "; "))
	race := os.Getenv("MMM_E2E_RACE") == "1"
	if programs, err = lab.Build(ctx, harness.BuildOptions{Race: race}); err != nil {
		fmt.Println(err)
		return 1
	}
	if failpoints, err = lab.Build(ctx, harness.BuildOptions{Race: race, Tags: []string{"failpoint"}}); err != nil {
		fmt.Println(err)
		return 1
	}
	return m.Run()
}
