//go:build mutant && no_lock_moved

package safeguard

const off = LockMoved
