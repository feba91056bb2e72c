package mysql

import (
	"context"
	"time"

	"github.com/mmm-manager/mmm-manager/tests/sim/engine"
)

// App is a session of an application. One coroutine uses it at a time.
type App struct {
	m      *Machine
	server *client
	stream *engine.Conn[*client]
}

// DialApp logs a user in on a server from a process; until ctx ends.
func DialApp(ctx context.Context, p *engine.Process, m *Machine, user string) (*App, error) {
	stream, err := engine.Dial(ctx, p, m.port)
	if err != nil {
		return nil, err
	}
	server, err := engine.Ask(ctx, stream, func(c *client, reply func(*client, error)) { reply(c.login(user, false)) })
	if err != nil {
		stream.Close()
		return nil, err
	}
	return &App{m: m, server: server, stream: stream}, nil
}

// Close ends the session.
func (a *App) Close() { a.stream.Close() }

// Write inserts a row by a statement that takes so long. done is told of the
// outcome at the server, at the instant of the answer; the result is what the
// application knows.
func (a *App) Write(ctx context.Context, row uint64, takes time.Duration, done func(Outcome)) Outcome {
	return a.ask(ctx, func(x *Session, now time.Duration, reply func(Outcome)) {
		x.Write(now, row, takes, func(o Outcome) {
			done(o)
			reply(o)
		})
	})
}

// Begin opens a transaction.
func (a *App) Begin(ctx context.Context) Outcome {
	return a.ask(ctx, func(x *Session, now time.Duration, reply func(Outcome)) {
		x.Begin(now)
		reply(Outcome{})
	})
}

// Commit commits it; done is told as by Write.
func (a *App) Commit(ctx context.Context, done func(Outcome)) Outcome {
	return a.ask(ctx, func(x *Session, now time.Duration, reply func(Outcome)) {
		x.Commit(now, func(o Outcome) {
			done(o)
			reply(o)
		})
	})
}

// Lock takes the lock of the table, until Close or Unlock.
func (a *App) Lock(ctx context.Context) Outcome {
	return a.ask(ctx, func(x *Session, now time.Duration, reply func(Outcome)) { x.LockTables(now, reply) })
}

// Unlock releases it.
func (a *App) Unlock(ctx context.Context) Outcome {
	return a.ask(ctx, func(x *Session, now time.Duration, reply func(Outcome)) {
		x.UnlockTables(now)
		reply(Outcome{})
	})
}

func (a *App) ask(ctx context.Context, run func(x *Session, now time.Duration, reply func(Outcome))) Outcome {
	o, err := engine.Ask(ctx, a.stream, func(c *client, reply func(Outcome, error)) {
		run(c.x, c.m.p.Now(), func(o Outcome) { reply(o, nil) })
		c.served()
	})
	if err != nil {
		return Outcome{Result: Unknown}
	}
	return o
}
