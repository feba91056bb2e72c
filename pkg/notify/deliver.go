package notify

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/rs/zerolog"
)

// deliver works on one letter after the other until ctx ends; what is left stays
// in the memory.
func (s *Service) deliver(ctx context.Context) {
	for ctx.Err() == nil {
		l, wait := s.queue.due(time.Now())
		if l != nil {
			s.turn(ctx, l)
			continue
		}
		timer := time.NewTimer(max(wait, 0))
		if wait < 0 {
			timer.Stop()
		}
		select {
		case <-ctx.Done():
		case <-s.queue.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// turn brings one letter one step further.
func (s *Service) turn(ctx context.Context, l *letter) {
	now := time.Now()
	switch {
	case l.unmarked && !s.mark(ctx, l):
		l.next = now.Add(time.Second)
		if now.After(l.deadline) {
			s.queue.remove(l)
		}
		return
	case l.told && len(l.to) == 0:
		s.queue.remove(l)
		return
	case now.After(l.deadline):
		s.drop(l, errors.New("it was tried for too long"))
		return
	}
	if !l.told {
		c, err := bounded(ctx, func(ctx context.Context) (Claim, error) {
			return s.o.Bus.Claim(ctx, l.u, l.notice, s.o.ID, ClaimTTL)
		})
		switch {
		case err != nil:
			s.said(l, s.log.Debug()).Err(err).Msg("mail waits for redis")
			l.next = now.Add(time.Second)
			return
		case c.State == ClaimOther:
			l.next = now.Add(max(c.Wait, 0) + time.Second)
			return
		case c.State != ClaimMine:
			s.queue.remove(l)
			return
		}
		l.mail.ID = messageID(string(l.u), l.notice.Name, c.Born)
	}
	sent, err := s.send(ctx, l)
	if ctx.Err() != nil && len(sent.To) == 0 {
		return // the claim goes on under the same name, or ends
	}
	if len(sent.To) > 0 {
		l.unmarked = l.unmarked || !l.told
		l.told = true
	}
	switch {
	case err == nil:
		l.to = []string{}
		s.said(l, s.log.Info()).Str("by", sent.By).Strs("to", sent.To).Msg("mail sent")
	case len(sent.Left) > 0:
		l.tries++
		l.to = sent.Left
		pause := min(firstRetry<<min(l.tries-1, 10), mostRetry)
		l.next = time.Now().Add(pause)
		s.said(l, s.log.Warn()).Strs("to", sent.Left).Str("reason", err.Error()).Int("try", l.tries).
			Dur("again_ms", pause).Msg("mail not sent yet")
	case l.told:
		l.to = []string{}
		s.said(l, s.log.Warn()).Str("by", sent.By).Strs("to", sent.To).Str("reason", err.Error()).Msg("mail sent, not to everybody")
	default:
		s.release(ctx, l)
		s.drop(l, err)
		return
	}
	switch {
	case !l.told:
		s.release(ctx, l)
	case l.unmarked:
		s.mark(ctx, l)
	}
	if l.told && !l.unmarked && len(l.to) == 0 {
		s.queue.remove(l)
	}
}

// send makes one try. When the service is to end it gets a moment more, so that
// a mail under way is not sent twice for nothing.
func (s *Service) send(ctx context.Context, l *letter) (Sent, error) {
	try, cancel := context.WithTimeout(context.WithoutCancel(ctx), SendTimeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		timer := time.NewTimer(lastWords)
		defer timer.Stop()
		select {
		case <-timer.C:
			cancel()
		case <-try.Done():
		}
	})
	defer stop()
	return s.o.Send.Send(try, l.mail, l.to)
}

// mark records that the letter was told. It is done even when the service is to end.
func (s *Service) mark(ctx context.Context, l *letter) bool {
	timeout := busTimeout
	if ctx.Err() != nil {
		timeout = lastWords
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()
	err := s.o.Bus.Told(ctx, l.u, l.notice, s.o.ID)
	if err != nil {
		s.said(l, s.log.Debug()).Err(err).Msg("mail was sent, redis does not know it yet")
	}
	l.unmarked = err != nil
	return err == nil
}

func (s *Service) release(ctx context.Context, l *letter) {
	_, err := bounded(ctx, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, s.o.Bus.Release(ctx, l.u, l.notice, s.o.ID)
	})
	if err != nil {
		s.said(l, s.log.Debug()).Err(err).Msg("claim not given back, it ends by itself")
	}
}

func (s *Service) drop(l *letter, err error) {
	s.queue.remove(l)
	s.said(l, s.log.Error()).Str("reason", err.Error()).Int("tries", l.tries).Msg("mail given up")
}

func (s *Service) said(l *letter, e *zerolog.Event) *zerolog.Event {
	return e.Str("tag", string(l.tag)).Str("uniqsign", string(l.u)).Str("subject", l.mail.Subject)
}

// post puts a mail on its way.
func (s *Service) post(l *letter) {
	l.deadline = time.Now().Add(GiveUp)
	if dropped := s.queue.add(l); dropped != nil {
		s.said(dropped, s.log.Error()).Str("reason", "too many mails wait").Msg("mail given up")
	}
}

// messageID is the same whichever agent tells a thing, and whenever.
func messageID(parts ...any) string {
	var b strings.Builder
	for _, p := range parts {
		fmt.Fprintf(&b, "%v\x00", p)
	}
	sum := sha256.Sum256([]byte(b.String()))
	return "mmm." + hex.EncodeToString(sum[:16])
}
