//go:build mutant && pinned_session

package safeguard

const off = PinnedSession
