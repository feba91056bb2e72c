//go:build mutant && no_agents_heard

package safeguard

const off = AgentsHeard
