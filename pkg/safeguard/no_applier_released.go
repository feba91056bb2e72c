//go:build mutant && no_applier_released

package safeguard

const off = ApplierReleased
