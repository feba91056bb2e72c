//go:build mutant && no_read_since_start

package safeguard

const off = ReadSinceStart
