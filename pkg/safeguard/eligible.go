//go:build mutant && eligible

package safeguard

const off = Eligible
