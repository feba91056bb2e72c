//go:build mutant && no_starts_closed

package safeguard

const off = StartsClosed
