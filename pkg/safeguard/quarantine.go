//go:build mutant && quarantine

package safeguard

const off = Quarantine
