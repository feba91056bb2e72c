//go:build mutant && no_read_since_wait

package safeguard

const off = ReadSinceWait
