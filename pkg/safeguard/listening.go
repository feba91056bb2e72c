//go:build mutant && listening

package safeguard

const off = Listening
