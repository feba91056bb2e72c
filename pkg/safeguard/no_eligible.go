//go:build mutant && no_eligible

package safeguard

const off = Eligible
