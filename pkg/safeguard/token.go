//go:build mutant && token

package safeguard

const off = Token
