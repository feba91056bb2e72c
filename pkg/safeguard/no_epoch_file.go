//go:build mutant && no_epoch_file

package safeguard

const off = EpochFile
