package main

import (
	"context"
	"errors"
	"testing"

	"github.com/mmm-manager/mmm-manager/pkg/control"
)

func TestAQuestionIsInterrupted(t *testing.T) {
	if got, err := answered(t.Context(), "", func() (string, error) { return "y", nil }); got != "y" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	never := make(chan struct{})
	defer close(never)
	_, err := answered(ctx, "nothing was filed", func() (string, error) {
		cancel()
		<-never
		return "", nil
	})
	var e *control.Error
	if !errors.As(err, &e) || e.Exit != control.ExitFailed || e.Message != "interrupted: nothing was filed" {
		t.Errorf("%v", err)
	}
}
