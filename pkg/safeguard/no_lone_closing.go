//go:build mutant && no_lone_closing

package safeguard

const off = LoneClosing
