//go:build mutant && closed_first

package safeguard

const off = ClosedFirst
