//go:build mutant && errant_check

package safeguard

const off = ErrantCheck
