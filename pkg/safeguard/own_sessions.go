//go:build mutant && own_sessions

package safeguard

const off = OwnSessions
