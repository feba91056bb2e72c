package notify

import (
	"slices"
	"sync"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// letter is one mail on its way.
type letter struct {
	u        cluster.UniqSign
	tag      cluster.Tag
	notice   Notice
	mail     Mail
	to       []string // who is still to get it; nil is everybody
	told     bool     // somebody has it; only the rest of to is served
	unmarked bool     // told, and Redis does not know it yet
	tries    int
	next     time.Time
	deadline time.Time
}

// queue holds the letters, the oldest first.
type queue struct {
	wake chan struct{}

	mu      sync.Mutex
	letters []*letter
}

func newQueue() *queue { return &queue{wake: make(chan struct{}, 1)} }

// add takes a letter in, once, and gives back the one that had to go for it.
func (q *queue) add(l *letter) (dropped *letter) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if slices.ContainsFunc(q.letters, func(o *letter) bool { return o.u == l.u && o.notice.Name == l.notice.Name }) {
		return nil
	}
	if len(q.letters) >= mostLetters {
		dropped = q.letters[0]
		q.letters = q.letters[1:]
	}
	q.letters = append(q.letters, l)
	select {
	case q.wake <- struct{}{}:
	default:
	}
	return dropped
}

// due gives the letter to work on now, or how long to wait for one; a negative
// wait is for ever.
func (q *queue) due(now time.Time) (*letter, time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	wait := time.Duration(-1)
	for _, l := range q.letters {
		left := l.next.Sub(now)
		if left <= 0 {
			return l, 0
		}
		if wait < 0 || left < wait {
			wait = left
		}
	}
	return nil, wait
}

func (q *queue) remove(l *letter) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.letters = slices.DeleteFunc(q.letters, func(o *letter) bool { return o == l })
}

// withdraw takes a notice back that nobody has been told yet.
func (q *queue) withdraw(u cluster.UniqSign, name string) *letter {
	q.mu.Lock()
	defer q.mu.Unlock()
	i := slices.IndexFunc(q.letters, func(o *letter) bool { return o.u == u && o.notice.Name == name && !o.told })
	if i < 0 {
		return nil
	}
	l := q.letters[i]
	q.letters = slices.Delete(q.letters, i, i+1)
	return l
}
