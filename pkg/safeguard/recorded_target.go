//go:build mutant && recorded_target

package safeguard

const off = RecordedTarget
