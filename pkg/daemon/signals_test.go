package daemon

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
)

const (
	interrupt = syscall.SIGINT
	terminate = syscall.SIGTERM
	quit      = syscall.SIGQUIT
	hup       = syscall.SIGHUP
)

func TestSignals(t *testing.T) {
	type send struct {
		after time.Duration
		sig   os.Signal
	}
	for _, c := range []struct {
		name    string
		o       SignalOptions
		sends   []send
		stopped os.Signal // nil: goes on
		reloads int
		logged  string
	}{
		{"the predecessor's way ignores INT and TERM and says so", SignalOptions{}, []send{{0, interrupt}, {0, terminate}}, nil, 0, `"signal":"TERM","hint":"QUIT stops","message":"signal ignored"`},
		{"QUIT stops", SignalOptions{}, []send{{0, terminate}, {0, quit}}, quit, 0, `"message":"stopping"`},
		{"graceful stops on TERM", SignalOptions{Graceful: true}, []send{{0, terminate}}, terminate, 0, `"signal":"TERM","message":"stopping"`},
		{"graceful stops on INT", SignalOptions{Graceful: true}, []send{{0, interrupt}}, interrupt, 0, ""},
		{"process 1 stops on TERM", SignalOptions{PID: 1}, []send{{0, terminate}}, terminate, 0, ""},
		{"a second INT on a terminal stops", SignalOptions{Terminal: true}, []send{{0, interrupt}, {2 * time.Second, interrupt}}, interrupt, 0, "a second one within two seconds stops"},
		{"a second INT that comes late does not", SignalOptions{Terminal: true}, []send{{0, interrupt}, {2*time.Second + 1, interrupt}}, nil, 0, ""},
		{"the late one counts as the first of the next two", SignalOptions{Terminal: true}, []send{{0, interrupt}, {3 * time.Second, interrupt}, {time.Second, interrupt}}, interrupt, 0, ""},
		{"two INT without a terminal do not stop", SignalOptions{}, []send{{0, interrupt}, {0, interrupt}}, nil, 0, ""},
		{"INT then TERM does not stop", SignalOptions{Terminal: true}, []send{{0, interrupt}, {0, terminate}, {0, terminate}}, nil, 0, ""},
		{"HUP reloads each time", SignalOptions{}, []send{{0, hup}, {time.Second, hup}}, nil, 2, ""},
		{"USR2 tells what the program takes up", SignalOptions{}, []send{{0, syscall.SIGUSR2}}, nil, 0, `"message":"resources"`},
		{"PIPE is nothing", SignalOptions{Graceful: true}, []send{{0, syscall.SIGPIPE}}, nil, 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				source := make(chan os.Signal)
				var logged bytes.Buffer
				reloads := 0
				o := c.o
				if o.PID == 0 {
					o.PID = 4711
				}
				o.Source, o.Log, o.Reload = source, zerolog.New(&logged), func() { reloads++ }
				ctx, s := NewSignals(t.Context(), o)
				for _, x := range c.sends {
					time.Sleep(x.after)
					source <- x.sig
					synctest.Wait()
				}
				var stopped Stopped
				if errors.As(context.Cause(ctx), &stopped); stopped.Signal != c.stopped {
					t.Errorf("stopped by %v, want %v", stopped.Signal, c.stopped)
				}
				s.Close()
				s.Close()
				if ctx.Err() == nil {
					t.Error("the context outlives Close")
				}
				if reloads != c.reloads || !strings.Contains(logged.String(), c.logged) {
					t.Errorf("%d reloads, log %s", reloads, logged.String())
				}
			})
		})
	}
}

func TestSignalsDuringAReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, release := make(chan os.Signal), make(chan struct{})
		calls := 0
		ctx, s := NewSignals(t.Context(), SignalOptions{Source: source, PID: 2, Reload: func() { calls++; <-release }})
		for range 5 {
			source <- hup
			synctest.Wait()
		}
		source <- quit
		synctest.Wait()
		if ctx.Err() == nil || calls != 1 {
			t.Errorf("QUIT waits for a reload: %v, %d calls", ctx.Err(), calls)
		}
		close(release)
		synctest.Wait()
		if calls != 2 {
			t.Errorf("%d calls, want one more for all HUPs during the first", calls)
		}
		s.Close()
	})
}

func TestSetGraceful(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := make(chan os.Signal)
		ctx, s := NewSignals(t.Context(), SignalOptions{Source: source, PID: 2})
		source <- terminate
		synctest.Wait()
		if ctx.Err() != nil {
			t.Error("stopped")
		}
		s.SetGraceful(true)
		source <- terminate
		synctest.Wait()
		if got := context.Cause(ctx); got == nil || got.Error() != "stopped by signal TERM" {
			t.Errorf("got %v", got)
		}
		s.Close()
	})
}

// TestMain plays the daemon of TestRealSignals.
func TestMain(m *testing.M) {
	mode, child := os.LookupEnv("MMM_SIGNALS_CHILD")
	if !child {
		os.Exit(m.Run())
	}
	ctx, s := NewSignals(context.Background(), SignalOptions{
		Graceful: strings.Contains(mode, "graceful"), Terminal: strings.Contains(mode, "terminal"),
		Reload: func() { fmt.Println("reload") }, Log: zerolog.New(os.Stdout)})
	fmt.Println("ready")
	<-ctx.Done()
	fmt.Println(context.Cause(ctx))
	if strings.Contains(mode, "slow") {
		select {} // a program that does not come to its end
	}
	s.Close()
	os.Exit(0)
}

func TestRealSignals(t *testing.T) {
	ignored := func(sig string) string { return `"signal":"` + sig + `"` }
	for _, c := range []struct {
		mode  string
		steps []any // a signal to send, or a part of the next line to wait for
		end   string
	}{
		{"predecessor", []any{terminate, ignored("TERM"), interrupt, ignored("INT"), interrupt, ignored("INT"), hup, "reload", quit, "stopping", "stopped by signal QUIT"}, "exit status 0"},
		{"terminal", []any{interrupt, ignored("INT"), interrupt, "stopping", "stopped by signal INT"}, "exit status 0"},
		{"graceful", []any{hup, "reload", syscall.SIGPIPE, terminate, "stopping", "stopped by signal TERM"}, "exit status 0"},
		{"predecessor with nobody reading", []any{nil, quit}, "exit status 0"},
		{"graceful slow", []any{terminate, "stopping", "stopped by signal TERM", terminate}, "signal: terminated"},
	} {
		t.Run(c.mode, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			child := exec.CommandContext(ctx, os.Args[0])
			child.Env = append(os.Environ(), "MMM_SIGNALS_CHILD="+c.mode)
			out, err := child.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := child.Start(); err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewScanner(out)
			for _, step := range slices.Concat([]any{"ready"}, c.steps) {
				switch step := step.(type) {
				case nil:
					_ = out.Close()
				case syscall.Signal:
					if err := child.Process.Signal(step); err != nil {
						t.Fatal(err)
					}
				case string:
					if !lines.Scan() || !strings.Contains(lines.Text(), step) {
						t.Fatalf("got %q, want %q", lines.Text(), step)
					}
				}
			}
			_ = child.Wait()
			if got := child.ProcessState.String(); got != c.end {
				t.Errorf("ended with %s, want %s", got, c.end)
			}
		})
	}
}
