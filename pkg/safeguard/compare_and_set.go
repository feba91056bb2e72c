//go:build mutant && compare_and_set

package safeguard

const off = CompareAndSet
