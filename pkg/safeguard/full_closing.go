//go:build mutant && full_closing

package safeguard

const off = FullClosing
