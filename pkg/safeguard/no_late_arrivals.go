//go:build mutant && no_late_arrivals

package safeguard

const off = LateArrivals
