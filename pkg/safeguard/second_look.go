//go:build mutant && second_look

package safeguard

const off = SecondLook
