package agent

import "sync"

// outcome is how something ended that a worker does not wait for.
type outcome struct {
	mu   sync.Mutex
	over bool
	err  error
}

// set notes the end. Anybody may call it.
func (o *outcome) set(err error) {
	o.mu.Lock()
	o.over, o.err = true, err
	o.mu.Unlock()
}

// is reports whether it has ended, and how; nothing has not.
func (o *outcome) is() (over bool, err error) {
	if o == nil {
		return false, nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.over, o.err
}
