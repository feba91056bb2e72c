//go:build mutant && no_read_since_stop

package safeguard

const off = ReadSinceStop
