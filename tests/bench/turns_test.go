package main

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestWhoIsAloneHasTheMachineAlone(t *testing.T) {
	ctx := t.Context()
	dir := t.TempDir()
	a, b := newTurns(dir), newTurns(dir)
	take := func(of *turns, alone, want bool) func() {
		t.Helper()
		limited, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
		defer cancel()
		release, err := of.take(limited, alone)
		if got := err == nil; got != want || err != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("a turn, alone: %v: %v, %v", alone, got, err)
		}
		return release
	}
	first, second := take(a, false, true), take(b, false, true)
	take(a, true, false)
	first()
	take(a, true, false)
	// Who waits to be alone is not passed by those who need not be.
	alone := make(chan func())
	go func() {
		release, err := a.take(ctx, true)
		if err != nil {
			t.Error(err)
		}
		alone <- release
	}()
	for {
		limited, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
		release, err := b.take(limited, false)
		cancel()
		if err != nil {
			break // the other stands at the gate
		}
		release()
	}
	second()
	release := <-alone
	take(b, false, false)
	release()
	take(b, false, true)()
}

func TestFaultsAreApart(t *testing.T) {
	dir := t.TempDir()
	var last time.Time
	for n := range 3 {
		if err := newTurns(dir).strike(t.Context(), func() error {
			if now := time.Now(); n > 0 && now.Sub(last) < apart {
				t.Errorf("a fault %v after another", now.Sub(last))
			}
			last = time.Now()
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
}
