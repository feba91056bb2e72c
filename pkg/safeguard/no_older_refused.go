//go:build mutant && no_older_refused

package safeguard

const off = OlderRefused
