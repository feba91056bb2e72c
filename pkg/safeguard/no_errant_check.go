//go:build mutant && no_errant_check

package safeguard

const off = ErrantCheck
