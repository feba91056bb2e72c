//go:build mutant && no_strict_first

package safeguard

const off = StrictFirst
