//go:build mutant && no_quarantine

package safeguard

const off = Quarantine
