//go:build mutant && row_first

package safeguard

const off = RowFirst
