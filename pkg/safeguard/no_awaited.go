//go:build mutant && no_awaited

package safeguard

const off = Awaited
