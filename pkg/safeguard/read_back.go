//go:build mutant && read_back

package safeguard

const off = ReadBack
