//go:build mutant && no_token

package safeguard

const off = Token
