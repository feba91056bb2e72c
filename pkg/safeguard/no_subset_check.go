//go:build mutant && no_subset_check

package safeguard

const off = SubsetCheck
