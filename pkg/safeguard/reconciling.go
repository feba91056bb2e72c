//go:build mutant && reconciling

package safeguard

const off = Reconciling
