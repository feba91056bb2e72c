//go:build mutant && epoch_file

package safeguard

const off = EpochFile
