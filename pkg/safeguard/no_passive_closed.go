//go:build mutant && no_passive_closed

package safeguard

const off = PassiveClosed
