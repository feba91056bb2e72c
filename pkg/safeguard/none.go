//go:build !mutant

package safeguard

const off Safeguard = ""
