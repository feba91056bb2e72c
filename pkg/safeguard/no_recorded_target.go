//go:build mutant && no_recorded_target

package safeguard

const off = RecordedTarget
