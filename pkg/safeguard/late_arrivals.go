//go:build mutant && late_arrivals

package safeguard

const off = LateArrivals
