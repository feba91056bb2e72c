package status

import (
	"context"
	"encoding/json"
	"io"
	"sync"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// Bus is what status needs of the bus.
type Bus interface {
	Snapshot(ctx context.Context, u cluster.UniqSign) (cluster.Snapshot, error)
	// TryWrite changes nothing and tells why the bus takes no writes.
	TryWrite(ctx context.Context) error
}

// Broken is a tag that cannot be asked about, and why.
type Broken struct {
	Tag       cluster.Tag
	Condition Condition // UnknownTag or Misconfigured
	Failure   Failure
}

// Options are what a Service works with.
type Options struct {
	Bus      Bus
	Subjects []Subject
	Broken   []Broken
	// BusHint is what a person may do about an unreachable bus.
	BusHint string
}

// Service looks at the tags it was given.
type Service struct {
	opt  Options
	seen *Tracker
}

// settleStep is the pause between two looks while waiting for sequence numbers to move.
const settleStep = 150 * time.Millisecond

// minRedraw keeps a storm of events from becoming a storm of looks.
const minRedraw = 100 * time.Millisecond

// New returns a Service.
func New(opt Options) *Service { return &Service{opt: opt, seen: NewTracker()} }

// Look reads all tags side by side and reports on them.
func (s *Service) Look(ctx context.Context) Report {
	r, _ := s.look(ctx)
	return r
}

// LookSettled is Look, repeated for up to AwayAfter where only a second look
// tells which agents are at work.
func (s *Service) LookSettled(ctx context.Context) Report {
	end := time.Now().Add(AwayAfter + settleStep)
	for {
		r, unsettled := s.look(ctx)
		if !unsettled || !time.Now().Before(end) {
			return r
		}
		if !pause(ctx, nil, settleStep) {
			return r
		}
	}
}

func (s *Service) look(ctx context.Context) (r Report, unsettled bool) {
	type answer struct {
		snapshot cluster.Snapshot
		err      error
	}
	answers := make([]answer, len(s.opt.Subjects))
	var wg sync.WaitGroup
	for i, sub := range s.opt.Subjects {
		wg.Go(func() {
			answers[i].snapshot, answers[i].err = s.opt.Bus.Snapshot(ctx, sub.Pair.UniqSign)
		})
	}
	var refusal error
	wg.Go(func() { refusal = s.opt.Bus.TryWrite(ctx) })
	wg.Wait()
	now := time.Now()
	refused := refusedOf(refusal, s.opt.BusHint)
	r = Report{SchemaVersion: SchemaVersion, Time: now.UTC().Truncate(time.Millisecond), Condition: Good, Tags: []Tag{}}
	for i, sub := range s.opt.Subjects {
		if err := answers[i].err; err != nil {
			r.Tags = append(r.Tags, Tag{
				Tag: sub.Pair.Tag, UniqSign: sub.Pair.UniqSign, Condition: Unreachable, ExitCode: Unreachable.ExitCode(),
				Error: failureOf("bus-unreachable", err, s.opt.BusHint),
			})
			continue
		}
		s.seen.Look(answers[i].snapshot, now)
		unsettled = unsettled || refused == nil && s.seen.unsettled(answers[i].snapshot, now)
		r.Refused = refused
		r.Tags = append(r.Tags, Build(sub, answers[i].snapshot, refused, s.seen, now))
	}
	for _, b := range s.opt.Broken {
		f := b.Failure
		r.Tags = append(r.Tags, Tag{Tag: b.Tag, Condition: b.Condition, ExitCode: b.Condition.ExitCode(), Error: &f})
	}
	for _, t := range r.Tags {
		r.Condition = worse(r.Condition, t.Condition)
		if t.Condition == Unreachable && r.Error == nil {
			r.Error = t.Error
		}
	}
	r.ExitCode = r.Condition.ExitCode()
	return r, unsettled
}

// Watch looks at once, at every wake and every interval, and hands each report
// to show, until ctx ends or show returns an error. It returns the last report shown.
func (s *Service) Watch(ctx context.Context, interval time.Duration, wake <-chan struct{}, show func(Report) error) (Report, error) {
	var r Report
	for {
		now := s.Look(ctx)
		if ctx.Err() != nil {
			return r, nil
		}
		r = now
		if err := show(r); err != nil {
			return r, err
		}
		if !pause(ctx, nil, minRedraw) || !pause(ctx, wake, interval-minRedraw) {
			return r, nil
		}
	}
}

// pause waits for d or for wake; it reports false when ctx ended instead.
func pause(ctx context.Context, wake <-chan struct{}, d time.Duration) bool {
	t := time.NewTimer(max(0, d))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
	case <-wake:
	}
	return true
}

// JSON writes the form for machines: indented, or in one line.
func JSON(w io.Writer, r Report, oneLine bool) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	if !oneLine {
		enc.SetIndent("", "  ")
	}
	return enc.Encode(r)
}
