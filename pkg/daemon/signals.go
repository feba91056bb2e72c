package daemon

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rs/zerolog"
)

// secondInterrupt is how soon the second INT on a terminal must come to stop a
// program that ignores the first.
const secondInterrupt = 2 * time.Second

// Stopped is the cause of a context that a signal has ended.
type Stopped struct{ Signal os.Signal }

// Error names the signal.
func (e Stopped) Error() string { return fmt.Sprintf("stopped by signal %s", name(e.Signal)) }

// SignalOptions says what signals do.
type SignalOptions struct {
	// Graceful: INT and TERM stop the program. Without it they are ignored, as
	// the predecessor's monitor and identify do, except as process 1, where
	// nothing else would ever stop the container.
	Graceful bool
	// Terminal: a second INT within two seconds stops all the same; see OnTerminal.
	Terminal bool
	// Reload is called for each HUP, one after the other; may be nil. HUPs that
	// come during a call are one more call.
	Reload func()
	Log    zerolog.Logger
	// PID is the process's own number; 0: ask the system.
	PID int
	// Source delivers signals instead of the system; it is never closed.
	Source <-chan os.Signal
}

// Signals watches signals from NewSignals to Close.
type Signals struct {
	o        SignalOptions
	graceful atomic.Bool
	cancel   context.CancelCauseFunc
	real     chan os.Signal // nil with a Source
	reload   chan struct{}
	done     chan struct{}
	end      sync.Once
	workers  sync.WaitGroup
}

// NewSignals begins to watch. The context ends, with cause Stopped, when a
// signal stops the program: QUIT always, INT and TERM as the options say. The
// next such signal then ends the process at once.
func NewSignals(parent context.Context, o SignalOptions) (context.Context, *Signals) {
	ctx, cancel := context.WithCancelCause(parent)
	if o.PID == 0 {
		o.PID = os.Getpid()
	}
	s := &Signals{o: o, cancel: cancel, reload: make(chan struct{}, 1), done: make(chan struct{})}
	s.graceful.Store(o.Graceful)
	source := o.Source
	if source == nil {
		s.real = make(chan os.Signal, 8)
		// PIPE is caught and dropped: a closed standard error must not end a daemon.
		signal.Notify(s.real, syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT, syscall.SIGHUP, syscall.SIGPIPE, syscall.SIGUSR2)
		source = s.real
	}
	s.workers.Go(func() { s.watch(source) })
	s.workers.Go(s.reloads)
	return ctx, s
}

// SetGraceful changes what INT and TERM do, after a reload.
func (s *Signals) SetGraceful(graceful bool) { s.graceful.Store(graceful) }

// Close ends the watch and the context and waits for a running Reload. Signals
// do what the system wants from then on.
func (s *Signals) Close() {
	s.end.Do(func() {
		s.release()
		close(s.done)
		s.cancel(context.Canceled)
	})
	s.workers.Wait()
}

// release gives the stopping signals back to the system.
func (s *Signals) release() {
	if s.real != nil {
		signal.Reset(syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT)
	}
}

func (s *Signals) watch(source <-chan os.Signal) {
	var interrupted time.Time
	for {
		var sig os.Signal
		select {
		case <-s.done:
			if s.real != nil {
				signal.Stop(s.real)
			}
			return
		case sig = <-source:
		}
		now := time.Now()
		switch sig {
		case syscall.SIGPIPE:
			continue
		case syscall.SIGHUP:
			select {
			case s.reload <- struct{}{}:
			default:
			}
			continue
		case syscall.SIGUSR2:
			s.tellResources()
			continue
		case syscall.SIGQUIT:
			s.stop(sig)
			continue
		}
		twice := sig == syscall.SIGINT && s.o.Terminal && !interrupted.IsZero() && now.Sub(interrupted) <= secondInterrupt
		if s.graceful.Load() || s.o.PID == 1 || twice {
			s.stop(sig)
			continue
		}
		hint := "QUIT stops"
		if sig == syscall.SIGINT {
			interrupted = now
			if s.o.Terminal {
				hint = "a second one within two seconds stops, QUIT too"
			}
		}
		s.o.Log.Info().Str("signal", name(sig)).Str("hint", hint).Msg("signal ignored")
	}
}

// tellResources logs what the program takes up, for who suspects it of a leak.
func (s *Signals) tellResources() {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	s.o.Log.Info().Int("goroutines", runtime.NumGoroutine()).Uint64("heap_bytes", m.HeapAlloc).Msg("resources")
}

func (s *Signals) stop(sig os.Signal) {
	s.release()
	s.o.Log.Info().Str("signal", name(sig)).Msg("stopping")
	s.cancel(Stopped{sig})
}

func (s *Signals) reloads() {
	for {
		select {
		case <-s.done:
			return
		case <-s.reload:
			if s.o.Reload != nil {
				s.o.Reload()
			}
		}
	}
}

func name(sig os.Signal) string {
	switch sig {
	case syscall.SIGINT:
		return "INT"
	case syscall.SIGTERM:
		return "TERM"
	case syscall.SIGQUIT:
		return "QUIT"
	case syscall.SIGHUP:
		return "HUP"
	}
	return sig.String()
}
