//go:build mutant && no_told_start

package safeguard

const off = ToldStart
