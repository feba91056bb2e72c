//go:build mutant && no_acks_anew

package safeguard

const off = AcksAnew
