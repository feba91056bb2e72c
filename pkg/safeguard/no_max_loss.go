//go:build mutant && no_max_loss

package safeguard

const off = MaxLoss
