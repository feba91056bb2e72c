package mysqlnode

import (
	"slices"
	"strings"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// Login is a login of one of our programs that a server refuses.
type Login struct {
	Role Role
	User string
	// Password says where the password is written; it is never the password.
	Password string
	// EpochTable is schema.table; empty for none.
	EpochTable string
	// Durability is the promise made for acknowledged writes; empty for async.
	Durability cluster.Durability
	// Version is that of a server of the pair, as the server words it; empty when
	// none has told, for the statements of every family.
	Version string
}

// Fix gives the statements by which the server would let the login in, with a
// placeholder for the password; empty when err is not about the account. They
// enter the binary log: they are for the active.
func (l Login) Fix(err error) string {
	secret := literal("<" + l.Password + ">")
	switch number(err) {
	case errAccessDenied, errAccessDeniedNoPasswd, errHostNotPrivileged:
	case errAccountLocked, errAccountLockedMariaDB:
		return "ALTER USER " + account(l.User, "<its host>") + " ACCOUNT UNLOCK;"
	case errPasswordExpired:
		return "ALTER USER " + account(l.User, "<its host>") + " IDENTIFIED BY " + secret + ";"
	default:
		return ""
	}
	to := account(l.User, "%")
	create := "CREATE USER " + to + " IDENTIFIED BY " + secret + ";"
	reset := "# if it exists with another password: ALTER USER " + to + " IDENTIFIED BY " + secret + ";"
	grants := func(d *dialect) string {
		return statements(slices.Concat(d.grants[l.Role], epochGrants(l.EpochTable, l.Role), d.acksGrants(l.Durability, l.Role)), to)
	}
	if l.Version == "" {
		return strings.Join([]string{create, reset, "# MariaDB:", grants(mariadb105), "# MySQL 8 and later:", grants(mysql8026)}, "\n")
	}
	d := chooseDialect(parseVersion(l.Version, ""))
	lines := []string{create, grants(d)}
	if d.lock { // releases before have no ALTER USER for it
		lines = slices.Insert(lines, 1, reset)
	}
	return strings.Join(lines, "\n")
}
