//go:build mutant && no_older_left_out

package safeguard

const off = OlderLeftOut
