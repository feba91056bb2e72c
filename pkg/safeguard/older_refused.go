//go:build mutant && older_refused

package safeguard

const off = OlderRefused
