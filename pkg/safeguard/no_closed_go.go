//go:build mutant && no_closed_go

package safeguard

const off = ClosedGo
