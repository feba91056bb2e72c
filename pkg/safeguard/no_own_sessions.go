//go:build mutant && no_own_sessions

package safeguard

const off = OwnSessions
