//go:build mutant && no_discard_check

package safeguard

const off = DiscardCheck
