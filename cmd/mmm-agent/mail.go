package main

import (
	"context"
	"crypto/x509"
	"errors"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/rs/zerolog"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/config"
	"github.com/mmm-manager/mmm-manager/pkg/mail"
	"github.com/mmm-manager/mmm-manager/pkg/notify"
	"github.com/mmm-manager/mmm-manager/pkg/redisbus"
	"github.com/mmm-manager/mmm-manager/pkg/tags"
)

// mailer mails the changes of role beside the agent, on connections of its own.
// What it knows outlives a reload.
type mailer struct {
	memory *notify.Memory
	last   chan struct{} // closed when the one started last has ended
}

// start begins with a new configuration when the one before has ended, which
// nobody waits for. Nothing runs when send_mail is off.
func (m *mailer) start(ctx context.Context, c *config.Agent, r config.Redis, id string, log zerolog.Logger) {
	if m.memory == nil {
		m.memory = notify.NewMemory()
	}
	if c.Email.Fault != "" {
		noMail(log, c.Email.Fault)
	}
	before, memory := m.last, m.memory
	ended := make(chan struct{})
	m.last = ended
	go func() {
		defer close(ended)
		if before != nil {
			<-before
		}
		if c.SendMail && ctx.Err() == nil {
			tell(ctx, c, r, id, memory, log)
		}
	}()
}

// wait waits until the last one has ended.
func (m *mailer) wait() {
	if m.last != nil {
		<-m.last
	}
}

func tell(ctx context.Context, c *config.Agent, r config.Redis, id string, memory *notify.Memory, log zerolog.Logger) {
	host, err := os.Hostname()
	if err != nil {
		log.Warn().Err(err).Msg("the name of this machine cannot be read, mail is sent as localhost")
	}
	e := c.Email
	o := mail.Options{Server: e.Server, Port: e.Port, User: e.User, Password: e.Password, TLS: e.TLS,
		Sender: e.Sender, Receivers: e.Receivers, Host: host}
	if e.CA != "" {
		o.RootCAs = x509.NewCertPool()
		o.RootCAs.AppendCertsFromPEM([]byte(e.CA))
	}
	var send notify.Sender
	if e.Fault == "" {
		s, err := mail.New(o)
		if err == nil {
			send = senderOf{s}
		} else {
			e.Fault = err.Error()
			noMail(log, e.Fault)
		}
	}
	if send == nil {
		send = noSender{e}
	}
	own := tags.BusOptions(r, "mmm-agent mail")
	own.Topic = ""
	bus := redisbus.New(own)
	defer bus.Close()
	n := notify.Options{ID: id, Bus: noticesOf{bus}, Send: send, Memory: memory, Log: log}
	if c.Members != nil {
		n.Only = slices.Sorted(maps.Keys(c.Members))
	}
	notify.New(n).Run(ctx)
}

// noticesOf gives a redisbus.Bus the notifier's words.
type noticesOf struct{ *redisbus.Bus }

func (b noticesOf) Claim(ctx context.Context, u cluster.UniqSign, n notify.Notice, agent string, ttl time.Duration) (notify.Claim, error) {
	c, err := b.ClaimNotice(ctx, u, redisbus.Notice(n), agent, ttl)
	return notify.Claim{State: notify.ClaimState(c.State), Born: c.Born, Wait: c.Wait}, err
}

func (b noticesOf) Told(ctx context.Context, u cluster.UniqSign, n notify.Notice, agent string) error {
	return b.NoticeTold(ctx, u, redisbus.Notice(n), agent)
}

func (b noticesOf) Release(ctx context.Context, u cluster.UniqSign, n notify.Notice, agent string) error {
	return b.ReleaseNotice(ctx, u, redisbus.Notice(n), agent)
}

func (b noticesOf) Forget(ctx context.Context, u cluster.UniqSign, n notify.Notice, told bool) error {
	return b.ForgetNotice(ctx, u, redisbus.Notice(n), told)
}

func (b noticesOf) Listen(ctx context.Context, hear func(cluster.UniqSign)) {
	s := b.Subscribe(ctx, redisbus.Channels{All: true})
	defer s.Close()
	for w := range s.C() {
		switch w.Kind {
		case redisbus.KindAssignment, redisbus.KindReport, redisbus.KindVerdict, redisbus.KindResubscribed:
			hear(w.UniqSign)
		}
	}
}

func noMail(log zerolog.Logger, why string) {
	log.Warn().Str("reason", why).Msg("no mail is sent")
}

// mailNotes say in the agent's reports that no mail is sent, though it should be.
func mailNotes(c *config.Agent) []cluster.Reason {
	if c.Email.Fault == "" {
		return nil
	}
	return []cluster.Reason{{Code: cluster.NoteMail, Text: "the agent sends no mail: " + c.Email.Fault}}
}

// noSender stands in where the configuration lets no mail go: each one is told of
// in the log, left to other agents, and sent after all if a reload comes in time.
type noSender struct{ config.Email }

func (s noSender) Send(_ context.Context, _ notify.Mail, to []string) (notify.Sent, error) {
	if to == nil {
		to = s.Receivers
	}
	return notify.Sent{Left: to}, errors.New(s.Fault)
}

// senderOf gives a mail.Sender the notifier's words.
type senderOf struct{ *mail.Sender }

func (s senderOf) Send(ctx context.Context, m notify.Mail, to []string) (notify.Sent, error) {
	r, err := s.Sender.Send(ctx, mail.Message(m), to)
	return notify.Sent{To: r.Sent, Left: r.Left, By: r.By}, err
}
