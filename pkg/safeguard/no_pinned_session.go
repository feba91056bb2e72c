//go:build mutant && no_pinned_session

package safeguard

const off = PinnedSession
