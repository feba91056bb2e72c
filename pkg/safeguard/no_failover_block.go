//go:build mutant && no_failover_block

package safeguard

const off = FailoverBlock
