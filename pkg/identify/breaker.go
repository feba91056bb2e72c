package identify

import (
	"context"

	"github.com/mmm-manager/mmm-manager/pkg/failover"
)

// decide decides, and tells Redis what is to be told of the pair for the breaker
// before anything is done. A change that rests on silence is decided anew with the
// answer; where Redis gives none, the breaker holds nothing.
func (s *Service) decide(ctx context.Context, view *failover.View) failover.Decision {
	var d failover.Decision
	s.state, d = failover.Decide(s.state, *view, s.o.Policy, s.now())
	switch d.Tell {
	case failover.TellSilent:
		count, err := s.o.Bus.TellSilent(ctx, s.u)
		if err != nil {
			s.log.Warn().Err(err).Msg("breaker cannot be asked, it holds nothing")
			return d
		}
		view.Silence = &count
		s.state, d = failover.Decide(s.state, *view, s.o.Policy, s.now())
	case failover.TellOver:
		if err := s.o.Bus.TellOver(ctx, s.u); err != nil {
			s.log.Debug().Err(err).Msg("silence not taken back, it ends by itself")
		}
	}
	return d
}
