//go:build mutant && record_check

package safeguard

const off = RecordCheck
