//go:build mutant && no_await_again

package safeguard

const off = AwaitAgain
