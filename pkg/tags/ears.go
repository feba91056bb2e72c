package tags

import (
	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/redisbus"
	"github.com/mmm-manager/mmm-manager/pkg/sched"
)

// ears hand the wake-ups of one subscription to the services.
type ears struct {
	sub   *redisbus.Subscription
	ended chan struct{}
}

// listen subscribes to the pairs that are served now, in place of the ones before.
func (p *program) listen(signs []cluster.UniqSign) {
	if !p.o.Listen {
		return
	}
	p.ears.stop()
	wake := map[cluster.UniqSign]sched.Signal{}
	for _, r := range p.runs {
		wake[r.tag.UniqSign] = r.wake
	}
	e := &ears{sub: p.bus.Subscribe(p.ctx, redisbus.Channels{UniqSigns: signs}), ended: make(chan struct{})}
	p.ears = e
	go func() {
		defer close(e.ended)
		for w := range e.sub.C() {
			if w.UniqSign != "" {
				if s := wake[w.UniqSign]; s != nil {
					s.Set()
				}
				continue
			}
			for _, s := range wake {
				s.Set()
			}
		}
	}()
}

func (e *ears) stop() {
	if e == nil {
		return
	}
	e.sub.Close()
	<-e.ended
}
