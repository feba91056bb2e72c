package cluster

import (
	"cmp"
	"fmt"
	"strings"
)

// Account is one account of a server: its name and the pattern of hosts it may
// log in from, as the server stores them.
type Account struct{ User, Host string }

// String gives user@host. The host never holds an @, the user may.
func (a Account) String() string { return a.User + "@" + a.Host }

// ParseAccount reads what String gives.
func ParseAccount(text string) (Account, error) {
	at := strings.LastIndexByte(text, '@')
	if at < 0 {
		return Account{}, fmt.Errorf("parse account %q: want user@host", text)
	}
	return Account{text[:at], text[at+1:]}, nil
}

// Compare orders accounts by user, then host.
func (a Account) Compare(b Account) int {
	return cmp.Or(cmp.Compare(a.User, b.User), cmp.Compare(a.Host, b.Host))
}

// MarshalText gives user@host.
func (a Account) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText reads user@host.
func (a *Account) UnmarshalText(text []byte) (err error) {
	*a, err = ParseAccount(string(text))
	return err
}

// AccountState is an account of one server and what keeps it from logging in.
type AccountState struct {
	Account Account
	// Locked reports ACCOUNT LOCK, whoever set it.
	Locked bool
	// Reversed reports that the predecessor's agent has turned the password hash around.
	Reversed bool
}
