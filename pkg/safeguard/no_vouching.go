//go:build mutant && no_vouching

package safeguard

const off = Vouching
