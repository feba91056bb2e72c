//go:build mutant && no_drain

package safeguard

const off = Drain
