//go:build mutant && vouching

package safeguard

const off = Vouching
