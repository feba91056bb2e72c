//go:build mutant && no_grant_awaited

package safeguard

const off = GrantAwaited
