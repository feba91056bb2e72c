//go:build mutant && max_loss

package safeguard

const off = MaxLoss
