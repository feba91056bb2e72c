package check

import (
	"fmt"

	"github.com/mmm-manager/mmm-manager/tests/lab/history"
)

// Transfers finds money that came or went: every sum that a client read and committed,
// and that of each server in the end, has to be what the round began with. A transfer is one
// transaction, so that this holds even where acknowledged writes are lost.
func Transfers(r Round) ([]Finding, Sums) {
	var found []Finding
	var sums Sums
	find := func(format string, args ...any) {
		found = append(found, Finding{"transfers", fmt.Sprintf(format, args...)})
	}
	wrong := 0
	for _, op := range r.Ops {
		switch {
		case op.Outcome != history.OK:
		case op.Kind == history.Transfer:
			sums.Transfers++
		case op.Kind == history.Total:
			sums.Totals++
			if op.Value == history.Accounts*history.Balance {
				continue
			}
			if wrong++; wrong <= 3 {
				find("client %d read a sum of %d on %s, want %d", op.Client, op.Value, op.Server, history.Accounts*history.Balance)
			}
		}
	}
	if wrong > 3 {
		find("%d sums are wrong", wrong)
	}
	for _, e := range r.servers() {
		accounts := r.Tables[e].Accounts
		var sum int64
		for key, balance := range accounts {
			sum += balance
			if balance < 0 {
				find("%s has %d in account %d", e, balance, key)
			}
		}
		if len(accounts) != history.Accounts || sum != history.Accounts*history.Balance {
			find("%s has %d in %d accounts, want %d in %d", e, sum, len(accounts), history.Accounts*history.Balance, history.Accounts)
		}
	}
	return found, sums
}
