//go:build mutant && applier_runs

package safeguard

const off = ApplierRuns
