//go:build mutant && no_applier_first

package safeguard

const off = ApplierFirst
