//go:build mutant && drain

package safeguard

const off = Drain
