//go:build mutant && sample_order

package safeguard

const off = SampleOrder
