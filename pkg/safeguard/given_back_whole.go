//go:build mutant && given_back_whole

package safeguard

const off = GivenBackWhole
