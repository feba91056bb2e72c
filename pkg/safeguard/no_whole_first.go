//go:build mutant && no_whole_first

package safeguard

const off = WholeFirst
