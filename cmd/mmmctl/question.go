package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/control"
	"github.com/mmm-manager/mmm-manager/pkg/daemon"
)

// person is the terminal at which somebody can be asked; nil where nobody is there.
func (p *program) person() *os.File {
	in, isFile := p.in.(*os.File)
	if !isFile || !term.IsTerminal(int(in.Fd())) {
		return nil
	}
	return in
}

// sure asks whether to go on, where somebody is there to answer; undone says what a no leaves.
func (p *program) sure(ctx context.Context, yes bool, undone string) error {
	if yes {
		return nil
	}
	in := p.person()
	if in == nil {
		return &control.Error{Code: "usage", Exit: control.ExitUsage, Message: "nobody is there to ask: standard input is no terminal; " + undone, Hint: "--yes goes on without asking"}
	}
	fmt.Fprint(p.err, "Go on? [y/N] ")
	answer, err := answered(ctx, undone, func() (string, error) {
		// The end of the input is a no.
		text, _ := bufio.NewReader(in).ReadString('\n')
		return text, nil
	})
	if err != nil {
		return err
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return &control.Error{Code: "declined", Exit: control.ExitFailed, Message: "not done: " + undone}
}

// password asks for the password of user.
func (p *program) password(ctx context.Context, user string) (cluster.Secret, error) {
	in := p.person()
	if in == nil {
		return "", daemon.Usagef("the password of %s: it is not in %s, and nobody is there to ask", user, passwordVariable)
	}
	// Whoever interrupts it wants to see again what is typed.
	if before, err := term.GetState(int(in.Fd())); err == nil {
		defer func() { _ = term.Restore(int(in.Fd()), before) }()
	}
	fmt.Fprintf(p.err, "Password of %s: ", user)
	text, err := answered(ctx, "nothing was changed", func() ([]byte, error) { return term.ReadPassword(int(in.Fd())) })
	fmt.Fprintln(p.err)
	return cluster.Secret(text), err
}

// answered is what ask gives, unless ctx ends before; no signal ends a read from a terminal.
func answered[T any](ctx context.Context, undone string, ask func() (T, error)) (T, error) {
	type answer struct {
		text T
		err  error
	}
	given := make(chan answer, 1)
	go func() {
		text, err := ask()
		given <- answer{text, err}
	}()
	select {
	case a := <-given:
		return a.text, a.err
	case <-ctx.Done():
		var none T
		return none, &control.Error{Code: "interrupted", Exit: control.ExitFailed, Message: "interrupted: " + undone, Err: ctx.Err()}
	}
}
