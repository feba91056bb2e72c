//go:build mutant && no_heard_memory

package safeguard

const off = HeardMemory
