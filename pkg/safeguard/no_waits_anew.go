//go:build mutant && no_waits_anew

package safeguard

const off = WaitsAnew
