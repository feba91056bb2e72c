//go:build mutant && failover_block

package safeguard

const off = FailoverBlock
