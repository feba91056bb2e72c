//go:build mutant && no_lock_age

package safeguard

const off = LockAge
