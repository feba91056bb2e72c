package notify

import (
	"slices"
	"sync"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// heard gathers the pairs of which something changed.
type heard struct {
	wake chan struct{}

	mu    sync.Mutex
	pairs []cluster.UniqSign
}

func newHeard() *heard {
	return &heard{wake: make(chan struct{}, 1), pairs: []cluster.UniqSign{""}}
}

func (h *heard) add(u cluster.UniqSign) {
	h.mu.Lock()
	if !contains(h.pairs, u) {
		h.pairs = append(h.pairs, u)
	}
	h.mu.Unlock()
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// take gives what was gathered, sorted: an empty name comes first.
func (h *heard) take() []cluster.UniqSign {
	h.mu.Lock()
	defer h.mu.Unlock()
	taken := h.pairs
	h.pairs = nil
	select {
	case <-h.wake:
	default:
	}
	slices.Sort(taken)
	return taken
}

func contains(all []cluster.UniqSign, u cluster.UniqSign) bool { return slices.Contains(all, u) }
