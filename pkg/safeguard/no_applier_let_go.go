//go:build mutant && no_applier_let_go

package safeguard

const off = ApplierLetGo
