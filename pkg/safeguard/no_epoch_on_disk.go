//go:build mutant && no_epoch_on_disk

package safeguard

const off = EpochOnDisk
