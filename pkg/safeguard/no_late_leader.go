//go:build mutant && no_late_leader

package safeguard

const off = LateLeader
