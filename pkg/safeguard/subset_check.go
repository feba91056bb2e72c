//go:build mutant && subset_check

package safeguard

const off = SubsetCheck
