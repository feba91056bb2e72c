//go:build mutant && no_read_back

package safeguard

const off = ReadBack
