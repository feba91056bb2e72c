//go:build mutant && no_target

package safeguard

const off = Target
