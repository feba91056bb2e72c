//go:build mutant && no_compare_and_set

package safeguard

const off = CompareAndSet
