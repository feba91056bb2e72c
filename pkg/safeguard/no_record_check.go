//go:build mutant && no_record_check

package safeguard

const off = RecordCheck
