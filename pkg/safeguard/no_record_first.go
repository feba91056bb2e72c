//go:build mutant && no_record_first

package safeguard

const off = RecordFirst
