//go:build mutant && equal_sets

package safeguard

const off = EqualSets
