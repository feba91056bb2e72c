//go:build mutant && no_advancing

package safeguard

const off = Advancing
