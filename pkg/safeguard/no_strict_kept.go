//go:build mutant && no_strict_kept

package safeguard

const off = StrictKept
