//go:build mutant && no_closed_first

package safeguard

const off = ClosedFirst
