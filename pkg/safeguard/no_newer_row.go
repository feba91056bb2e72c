//go:build mutant && no_newer_row

package safeguard

const off = NewerRow
