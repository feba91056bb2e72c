//go:build mutant && no_reconciling

package safeguard

const off = Reconciling
