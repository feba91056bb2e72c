package identify_test

import (
	"context"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/mmm-manager/mmm-manager/pkg/identify"
)

// The deciding loop comes round while Redis is away: else the service manager
// would end an identify that only waits.
func TestLoopComesRoundWithoutRedis(t *testing.T) {
	l := newLab(t)
	l.redis.Close()
	beats, ended := make(chan struct{}, 100), make(chan string, 1)
	s := identify.New(identify.Options{Policy: policy(), ID: "x", Bus: l.bus, Logger: zerolog.Nop(),
		Loop: func(name string) (beat, end func()) {
			return func() { beats <- struct{}{} }, func() { ended <- name }
		}})
	ctx, cancel := context.WithCancel(t.Context())
	l.wg.Go(func() { s.Run(ctx) })
	for range 4 {
		select {
		case <-beats:
		case <-time.After(5 * time.Second):
			t.Fatal("the loop stands still")
		}
	}
	cancel()
	if name := <-ended; name != "deciding" {
		t.Errorf("loop %q", name)
	}
}
