//go:build mutant && no_epoch_raised

package safeguard

const off = EpochRaised
