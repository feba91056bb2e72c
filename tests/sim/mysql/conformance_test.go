package mysql_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/tests/harness"
)

// TestConformance has the same operations done by the model and by a real pair,
// and compares what each server says of itself after each of them: first a walk
// through everything, then random ones. MMM_SIM_WALKS is how many of these, per
// database; MMM_SIM_SEED begins with that one, and MMM_SIM_TRAIL is a walk instead
// of all others, as a failure prints it.
func TestConformance(t *testing.T) {
	flavors := []harness.Flavor{harness.MariaDB, harness.MySQL}
	if os.Getenv("MMM_DB") != "" {
		flavors = []harness.Flavor{harness.ChosenFlavor()}
	}
	for _, f := range flavors {
		t.Run(string(f), func(t *testing.T) {
			t.Setenv("MMM_DB", string(f))
			conform(t)
		})
	}
}

func conform(t *testing.T) {
	if missing := harness.Missing(); len(missing) > 0 {
		text := fmt.Sprintf("SKIPPED: the model of %s is not compared with a real one: not installed: %s", harness.ChosenFlavor(), strings.Join(missing, ", "))
		if harness.MissingIsFailure() {
			t.Fatal(text)
		}
		t.Skip(text)
	}
	began := time.Now()
	walks, first := number(t, "MMM_SIM_WALKS", 2), number(t, "MMM_SIM_SEED", 1)
	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(walks+2)*time.Minute)
	defer cancel()
	lab, err := harness.NewLab(harness.Options{Log: t.Output()})
	must(t, err)
	defer lab.Close()
	pair, err := lab.NewPair(ctx, harness.PairOptions{})
	must(t, err)

	done := map[string]int{}
	if trail := os.Getenv("MMM_SIM_TRAIL"); trail != "" {
		w := newWalk(t, ctx, lab, pair, "trail")
		w.through(trail, done)
		w.close()
		return
	}
	w := newWalk(t, ctx, lab, pair, "everything")
	steps := w.through(everything, done)
	w.close()
	must(t, pair.Renew(ctx))
	w = newWalk(t, ctx, lab, pair, "apart")
	steps += w.through(apart, done)
	w.close()
	must(t, pair.Renew(ctx))
	w = newWalk(t, ctx, lab, pair, "acknowledged")
	steps += w.through(acknowledged, done)
	w.close()
	if lab.Flavor() == harness.MariaDB {
		must(t, pair.Renew(ctx))
		w = newWalk(t, ctx, lab, pair, "answered")
		steps += w.through(answered, done)
		w.close()
	}
	for _, o := range ops {
		if done[o.name] == 0 && (o.name != "acknowledge" || lab.Flavor() == harness.MariaDB) {
			t.Errorf("the walk through everything leaves %q out", o.name)
		}
	}
	for seed := first; seed < first+walks; seed++ {
		must(t, pair.Renew(ctx))
		w := newWalk(t, ctx, lab, pair, fmt.Sprintf("MMM_SIM_SEED=%d", seed))
		steps += w.random(rand.New(rand.NewPCG(uint64(seed), 1)), 40, done)
		w.close()
	}
	t.Logf("%d steps in %s: %v", steps, time.Since(began).Round(time.Second), done)
}

// everything does each operation, and what has a trap.
const everything = `
	A open, log in, write, mark, mark
	B stop sql
	A write, begin, write, commit
	B wait, start sql, wait
	A begin, write, close, commit, open, begin, write, rollback
	A lock tables, write, close, close behind a lock, write, open, lock tables, unlock tables, leave, log in
	B stop sql
	A write
	B stop io, start sql, start io
	B stop sql
	A write
	B kill, start server, start
	B stop sql
	A write, kill
	B stop, start sql, stop sql, start io, start, stop sql, kill
	B start server, start sql
	A start server, start, open, log in, write
	B start
	A kill session, log in, begin, write, kill, start server, start
	B lock account, log in, release account, unseal, log in, write, errant, mark
	B open, write
	A open, mark, errant
	B errant, start, stop, start
	A take lock, take lock twice, ask nothing, take lock, kill keeper, take lock, close keeper, take lock, kill, start server, take lock, close
	B take lock, take lock twice`

// acknowledged has what is applied wait for an acknowledgement.
const acknowledged = `
	A open, log in, write
	B await
	A write
	B close, wait, lock account, close, release, start sql, close, release account
	A write
	B stop io, release, start sql, start io, let go
	A mark
	B await
	A write, mark, write
	B stop io, let go, start
	B await
	A write
	B kill, start server, start, await
	A write
	B release, start, let go
	A write`

// answered has the other server acknowledge that, as MariaDB does.
const answered = `
	A open, log in, write, acknowledge, stop io, start io
	B await
	A write, write, mark
	B let go, await
	A write, acknowledge
	B let go
	A write`

// apart has each server make the epoch row itself.
const apart = `
	B stop
	A stop, open, log in, write, mark, close
	B open, mark, start
	A start`

func number(t *testing.T, name string, otherwise int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	must(t, err)
	return n
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
