package cluster

import (
	"maps"
	"slices"
)

// Memory is what an agent must not forget of one pair; it is kept on disk.
type Memory struct {
	// Record is the newest record that was obeyed.
	Record Assignment `json:"record"`
	// Locked are the accounts of each server that this agent has locked and
	// not yet released, Learned those that other agents have.
	Locked  map[Endpoint][]Account `json:"locked,omitempty"`
	Learned map[Endpoint][]Account `json:"learned,omitempty"`
}

// Clone returns a copy that shares nothing with m.
func (m Memory) Clone() Memory {
	m.Record = m.Record.Clone()
	m.Locked, m.Learned = cloneAccounts(m.Locked), cloneAccounts(m.Learned)
	return m
}

func cloneAccounts(all map[Endpoint][]Account) map[Endpoint][]Account {
	all = maps.Clone(all)
	for e, accounts := range all {
		all[e] = slices.Clone(accounts)
	}
	return all
}

// Join returns what m and o hold together: the newer record, the accounts of
// both. Of two records of one order it keeps that of m.
func (m Memory) Join(o Memory) Memory {
	j := m.Clone()
	if j.Record.Order().Before(o.Record.Order()) {
		j.Record = o.Record.Clone()
	}
	j.Locked, j.Learned = joinAccounts(j.Locked, o.Locked), joinAccounts(j.Learned, o.Learned)
	return j
}

// joinAccounts adds b's accounts to a.
func joinAccounts(a, b map[Endpoint][]Account) map[Endpoint][]Account {
	for e, accounts := range b {
		if len(accounts) == 0 {
			continue
		}
		if a == nil {
			a = map[Endpoint][]Account{}
		}
		a[e] = SortAccounts(append(a[e], accounts...))
	}
	return a
}

// SortAccounts sorts accounts in place and returns them without repetitions.
func SortAccounts(all []Account) []Account {
	slices.SortFunc(all, Account.Compare)
	return slices.Compact(all)
}
