//go:build mutant && no_closing_doubted

package safeguard

const off = ClosingDoubted
