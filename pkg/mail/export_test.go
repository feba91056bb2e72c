package mail

import (
	"context"
	"net"
)

// DialInstead makes s connect to addr whatever its options say: what begins on
// port 465 can then be tried on a port that is free.
func (s *Sender) DialInstead(addr string) {
	dial := s.connect
	s.connect = func(ctx context.Context, network, _ string) (net.Conn, error) { return dial(ctx, network, addr) }
}
