package redisbus

import (
	"context"
	"fmt"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// Locked are the accounts of a node that agents have locked and not yet
// released, sorted. What cannot be read as an account is left out.
func (b *Bus) Locked(ctx context.Context, u cluster.UniqSign, node cluster.Endpoint) ([]cluster.Account, error) {
	cmd := b.client.SMembers(ctx, keysOf(u).locked(node))
	if err := b.checkCmds(fmt.Sprintf("read the locked accounts of %s", node), cmd.Err(), cmd); err != nil {
		return nil, err
	}
	var all []cluster.Account
	for _, text := range cmd.Val() {
		if account, err := cluster.ParseAccount(text); err == nil {
			all = append(all, account)
		}
	}
	return cluster.SortAccounts(all), nil
}

// NoteLocked adds accounts that are about to be locked.
func (b *Bus) NoteLocked(ctx context.Context, u cluster.UniqSign, node cluster.Endpoint, all []cluster.Account) error {
	if len(all) == 0 {
		return nil
	}
	cmd := b.client.SAdd(ctx, keysOf(u).locked(node), members(all)...)
	return b.checkCmds(fmt.Sprintf("note locked accounts of %s", node), cmd.Err(), cmd)
}

// DropLocked takes accounts out that were released, if the record is still the one under
// which that was found, or that is none: under another one an agent may have locked them again.
func (b *Bus) DropLocked(ctx context.Context, u cluster.UniqSign, node cluster.Endpoint, under cluster.Order, all []cluster.Account) error {
	if len(all) == 0 {
		return nil
	}
	k := keysOf(u)
	args := append([]any{k.assignment(), uint64(under.Epoch), under.Version}, members(all)...)
	_, err := b.run(ctx, fmt.Sprintf("drop locked accounts of %s", node), dropLockedScript, []string{k.locked(node)}, args...)
	return err
}

func members(all []cluster.Account) []any {
	texts := make([]any, len(all))
	for i, a := range all {
		texts[i] = a.String()
	}
	return texts
}
