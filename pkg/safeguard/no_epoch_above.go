//go:build mutant && no_epoch_above

package safeguard

const off = EpochAbove
