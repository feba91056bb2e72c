package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/redisbus"
	"github.com/mmm-manager/mmm-manager/pkg/status"
)

// What a terminal obeys.
const (
	enterScreen = "\x1b[?1049h\x1b[?25l"
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	toTop       = "\x1b[H"
	clearLine   = "\x1b[K"
	clearRest   = "\x1b[J"
)

// follow shows the pairs until it is interrupted; the exit code is that of the last look.
func (p *program) follow(ctx context.Context, service *status.Service, bus *redisbus.Bus, subjects []status.Subject, style status.Style) error {
	wake := wakes(ctx, bus, subjects)
	redraw := p.terminal && p.form != "json" && os.Getenv("TERM") != "dumb"
	if redraw {
		fmt.Fprint(p.out, enterScreen)
	}
	last, err := service.Watch(ctx, time.Duration(p.watch), wake, func(r status.Report) error {
		if !redraw {
			if p.form == "legacy" {
				p.complain(r)
			}
			return p.show(r, style)
		}
		return p.redraw(r, style)
	})
	if redraw {
		fmt.Fprint(p.out, leaveScreen)
		// What was seen last stays on the screen.
		if err == nil && len(last.Tags) > 0 && last.Error == nil {
			_ = p.show(last, style)
		}
	}
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return silently(last.ExitCode)
}

// redraw paints over the last picture, so that nothing flickers, and cuts what
// the screen cannot hold.
func (p *program) redraw(r status.Report, style status.Style) error {
	height := 0
	if f, ok := p.out.(*os.File); ok {
		if w, h, err := term.GetSize(int(f.Fd())); err == nil {
			style.Width, height = w, h
		}
	}
	var picture bytes.Buffer
	fmt.Fprintf(&picture, "every %s and at each change, %s; Ctrl-C ends\n\n", time.Duration(p.watch), r.Time.Format("15:04:05 UTC"))
	frame := *p
	frame.out = &picture
	if err := frame.show(r, style); err != nil {
		return err
	}
	lines := strings.Split(strings.TrimRight(picture.String(), "\n"), "\n")
	if height > 1 && len(lines) > height-1 {
		more := len(lines) - (height - 2)
		lines = append(lines[:height-2], fmt.Sprintf("... %d more lines: make the window higher, or choose with --tag", more))
	}
	_, err := fmt.Fprint(p.out, toTop+strings.Join(lines, clearLine+"\n")+clearLine+"\n"+clearRest)
	return err
}

// wakes turns the bus's events of the pairs into a nudge.
func wakes(ctx context.Context, bus *redisbus.Bus, subjects []status.Subject) <-chan struct{} {
	var signs []cluster.UniqSign
	for _, s := range subjects {
		signs = append(signs, s.Pair.UniqSign)
	}
	if len(signs) == 0 {
		return nil
	}
	sub := bus.Subscribe(ctx, redisbus.Channels{UniqSigns: signs})
	nudge := make(chan struct{}, 1)
	go func() {
		for range sub.C() {
			select {
			case nudge <- struct{}{}:
			default:
			}
		}
	}()
	return nudge
}
