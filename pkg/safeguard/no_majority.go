//go:build mutant && no_majority

package safeguard

const off = Majority
