package redisbus

import (
	"context"
	"slices"
	"sync"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// The kinds of a wake-up.
const (
	KindView       = "view"
	KindAssignment = "assignment"
	KindReport     = "report"
	KindRequest    = "request"
	KindPause      = "pause"
	KindVerdict    = "verdict"
	// KindMessage is a message on the predecessor's topic, ours or another's.
	KindMessage = "message"
	// KindResubscribed: everything may have changed unheard; read it anew.
	KindResubscribed = "resubscribed"
)

func isLook(kind string) bool {
	switch kind {
	case KindView, KindAssignment, KindReport, KindRequest, KindPause, KindVerdict:
		return true
	}
	return false
}

// Wake says that something changed.
type Wake struct {
	// UniqSign is the pair; empty for resubscribed and for a message that ParseMessage refuses.
	UniqSign cluster.UniqSign
	Kind     string
	// Message is the text of a KindMessage.
	Message string
}

type wakeKey struct {
	u    cluster.UniqSign
	kind string
}

// mostWakes bounds what waits for a slow reader; beyond it "resubscribed" says all.
const mostWakes = 4096

// wakes is a queue that holds one wake-up per pair and kind, the newest.
type wakes struct {
	mu     sync.Mutex
	order  []wakeKey
	newest map[wakeKey]Wake
	filled chan struct{}
}

func newWakes() *wakes {
	return &wakes{newest: map[wakeKey]Wake{}, filled: make(chan struct{}, 1)}
}

func (q *wakes) add(w Wake) {
	k := wakeKey{w.UniqSign, w.Kind}
	q.mu.Lock()
	if _, waits := q.newest[k]; !waits {
		if len(q.order) >= mostWakes {
			clear(q.newest)
			q.order = q.order[:0]
			w = Wake{Kind: KindResubscribed}
			k = wakeKey{kind: KindResubscribed}
		}
		q.order = append(q.order, k)
	}
	q.newest[k] = w
	q.mu.Unlock()
	select {
	case q.filled <- struct{}{}:
	default:
	}
}

// take takes the oldest wake-up off the queue.
func (q *wakes) take() (Wake, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.order) == 0 {
		return Wake{}, false
	}
	k := q.order[0]
	q.order = q.order[1:]
	w := q.newest[k]
	delete(q.newest, k)
	return w, true
}

// newer takes the wake-up that came in w's place while w waited, if any.
func (q *wakes) newer(w Wake) Wake {
	k := wakeKey{w.UniqSign, w.Kind}
	q.mu.Lock()
	defer q.mu.Unlock()
	later, ok := q.newest[k]
	if !ok {
		return w
	}
	delete(q.newest, k)
	i := slices.Index(q.order, k)
	q.order = slices.Delete(q.order, i, i+1)
	return later
}

// pump hands wake-ups to c until ctx ends.
func (q *wakes) pump(ctx context.Context, c chan<- Wake) {
	for {
		w, ok := q.take()
		if !ok {
			select {
			case <-q.filled:
				continue
			case <-ctx.Done():
				return
			}
		}
		for waiting := true; waiting; {
			select {
			case c <- w:
				waiting = false
			case <-q.filled:
				w = q.newer(w)
			case <-ctx.Done():
				return
			}
		}
	}
}
