//go:build mutant && quorum

package safeguard

const off = Quorum
