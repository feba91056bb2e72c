//go:build mutant && no_await_first

package safeguard

const off = AwaitFirst
