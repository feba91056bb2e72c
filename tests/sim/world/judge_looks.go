package world

import (
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// look is what one monitor has seen of one server: when it last published an answer,
// and when a failure; 0 for never.
type look struct {
	monitor          string
	node             cluster.Endpoint
	answered, failed time.Duration
}

// How new an answer is that says that a server lives, and how old a failure that
// nobody can take for one of now.
const (
	newAnswer  = 1500 * time.Millisecond
	oldFailure = 5 * time.Second
)

// Looked tells that a monitor publishes what it sees of e.
func (j *Judge) Looked(now time.Duration, monitor string, e cluster.Endpoint, answered bool) {
	l := j.lookOf(monitor, e)
	if answered {
		l.answered = now
	} else {
		l.failed = now
	}
}

func (j *Judge) lookOf(monitor string, e cluster.Endpoint) *look {
	for i := range j.looks {
		if l := &j.looks[i]; l.monitor == monitor && l.node == e {
			return l
		}
	}
	j.looks = append(j.looks, look{monitor: monitor, node: e})
	return &j.looks[len(j.looks)-1]
}

// answered counts the monitors that have had every answer of e for some time.
func (j *Judge) answered(now time.Duration, e cluster.Endpoint) (n int) {
	for _, l := range j.looks {
		if l.node == e && l.answered != 0 && now-l.answered < newAnswer && (l.failed == 0 || now-l.failed > oldFailure) {
			n++
		}
	}
	return n
}
