//go:build mutant && no_epoch_row

package safeguard

const off = EpochRow
