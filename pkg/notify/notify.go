package notify

import (
	"context"
	"time"

	"github.com/rs/zerolog"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// Times of the service.
const (
	// Window is how old a change may be that an agent tells which has just started.
	Window = 10 * time.Minute
	// GiveUp is how long a mail is tried.
	GiveUp = time.Hour
	// ClaimTTL is how long a claim holds without a sign of its agent.
	ClaimTTL = time.Minute
	// SendTimeout bounds one try; it is shorter than a claim.
	SendTimeout = 45 * time.Second
	// HeldFor is how long a hold lasts before it is told.
	HeldFor = time.Minute

	busTimeout = 3 * time.Second
	// settle is how long wake-ups are gathered before the records are read.
	settle    = 150 * time.Millisecond
	lookEvery = 5 * time.Second
	// lastWords is what a try under way gets when the service is to end.
	lastWords  = 250 * time.Millisecond
	firstRetry = 5 * time.Second
	mostRetry  = 5 * time.Minute
	// mostLetters and mostStory bound what waits and what one mail tells.
	mostLetters = 200
	mostStory   = 40
	mostEvents  = 500
	keepChange  = 24 * time.Hour
	keepOngoing = 60 * 24 * time.Hour
)

// Notice names what is to be told once; see Bus.
type Notice struct {
	Name    string
	Follows string // the notice whose end this one tells
	Fresh   bool   // may be told though nobody has claimed it before
	Keep    time.Duration
}

// ClaimState says whose a notice is.
type ClaimState string

// What a claim is answered.
const (
	ClaimMine  ClaimState = "mine"
	ClaimOther ClaimState = "other"
	ClaimTold  ClaimState = "told"
	ClaimVoid  ClaimState = "void" // it is not to be told
)

// Claim is the answer to Bus.Claim.
type Claim struct {
	State ClaimState
	Born  int64         // when it was first claimed, the same for every agent
	Wait  time.Duration // how long another's claim lasts
}

// Bus is what the service needs of Redis.
type Bus interface {
	// Pairs lists the pairs that the bus knows.
	Pairs(ctx context.Context) ([]cluster.UniqSign, error)
	// Snapshot reads everything about one pair in one step.
	Snapshot(ctx context.Context, u cluster.UniqSign) (cluster.Snapshot, error)
	// EventsAfter reads at most n entries of the audit trail after id, the oldest first.
	EventsAfter(ctx context.Context, u cluster.UniqSign, id string, n int) ([]cluster.Event, error)
	// Claim takes or prolongs the right to tell n.
	Claim(ctx context.Context, u cluster.UniqSign, n Notice, agent string, ttl time.Duration) (Claim, error)
	// Told records that n has been told; one that follows another is forgotten with it.
	Told(ctx context.Context, u cluster.UniqSign, n Notice, agent string) error
	// Release gives a claim back; the notice stays to be told.
	Release(ctx context.Context, u cluster.UniqSign, n Notice, agent string) error
	// Forget removes the record of n, one that was told only when told is set.
	Forget(ctx context.Context, u cluster.UniqSign, n Notice, told bool) error
	// Listen calls hear for each pair of which something changed, with an empty
	// one when anything may have, until ctx ends.
	Listen(ctx context.Context, hear func(cluster.UniqSign))
}

// Mail is one mail before it has receivers.
type Mail struct {
	Subject, Body string
	ID            string
	Date          time.Time
	Headers       map[string]string
}

// Sent says who got a mail.
type Sent struct {
	To   []string
	Left []string // worth another try
	By   string
}

// Sender sends one mail to the receivers named, nil for all configured ones. The
// error is not nil when one of them does not have it. It ends with its context.
type Sender interface {
	Send(ctx context.Context, m Mail, to []string) (Sent, error)
}

// Options configure a Service.
type Options struct {
	// ID is this process.
	ID  string
	Bus Bus
	// Only are the pairs to tell of; nil for those that the bus names.
	Only []cluster.UniqSign
	Send Sender
	// Memory is what an earlier service of this process left; nil for none.
	Memory *Memory
	Log    zerolog.Logger
}

// Service tells people of the changes of every pair.
type Service struct {
	o     Options
	m     *Memory
	queue *queue
	log   zerolog.Logger
	away  bool // the bus did not answer last
}

// Memory is what a Service hands to the one after it in the same process. It
// serves one Service at a time.
type Memory struct {
	pairs map[cluster.UniqSign]*pair
	queue *queue
}

// NewMemory knows nothing.
func NewMemory() *Memory {
	return &Memory{pairs: map[cluster.UniqSign]*pair{}, queue: newQueue()}
}

// New makes a Service; Run starts it.
func New(o Options) *Service {
	if o.Memory == nil {
		o.Memory = NewMemory()
	}
	return &Service{o: o, m: o.Memory, queue: o.Memory.queue, log: o.Log}
}

// Run tells until ctx ends. It never fails and never waits for a mail server
// longer than a quarter of a second after that.
func (s *Service) Run(ctx context.Context) {
	delivered, listened := make(chan struct{}), make(chan struct{})
	heard := newHeard()
	go func() {
		defer close(delivered)
		s.deliver(ctx)
	}()
	go func() {
		defer close(listened)
		s.o.Bus.Listen(ctx, heard.add)
	}()
	s.watch(ctx, heard)
	<-delivered
	<-listened
}

// watch looks at the pairs that were heard of, and at all from time to time.
func (s *Service) watch(ctx context.Context, heard *heard) {
	for {
		changed := heard.take()
		s.look(ctx, changed)
		timer := time.NewTimer(lookEvery)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
			heard.add("")
		case <-heard.wake:
			timer.Reset(settle)
			select {
			case <-timer.C:
			case <-ctx.Done():
				timer.Stop()
				return
			}
		}
	}
}

// look reads the pairs named, all when one has no name.
func (s *Service) look(ctx context.Context, named []cluster.UniqSign) {
	all := len(named) > 0 && named[0] == ""
	if all {
		named = s.o.Only
		if named == nil {
			var err error
			if named, err = bounded(ctx, s.o.Bus.Pairs); err != nil {
				s.busAway(ctx, err)
				return
			}
		}
	}
	for _, u := range named {
		if s.o.Only != nil && !contains(s.o.Only, u) {
			continue
		}
		if err := s.lookAt(ctx, u); err != nil {
			s.busAway(ctx, err)
			return
		}
	}
	if s.away && len(named) > 0 {
		s.away = false
		s.log.Info().Msg("redis is back, changes are mailed again")
	}
}

func (s *Service) busAway(ctx context.Context, err error) {
	if ctx.Err() == nil && !s.away {
		s.away = true
		s.log.Warn().Err(err).Msg("redis cannot be read, mail waits")
	}
}

func bounded[T any](ctx context.Context, f func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, busTimeout)
	defer cancel()
	return f(ctx)
}
