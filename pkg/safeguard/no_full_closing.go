//go:build mutant && no_full_closing

package safeguard

const off = FullClosing
