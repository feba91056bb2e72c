//go:build mutant && own_memory

package safeguard

const off = OwnMemory
