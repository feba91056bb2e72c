//go:build mutant && no_released_last

package safeguard

const off = ReleasedLast
