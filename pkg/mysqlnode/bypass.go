package mysqlnode

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// Bits of "access" in MariaDB's mysql.global_priv.
const (
	superBit         = 1 << 15
	readOnlyAdminBit = 1 << 33
)

// bypassMariaDB lists the holders of READ_ONLY ADMIN. Up to 10.10 SUPER stands
// for it; later servers go on reading it so in accounts last written by those.
func bypassMariaDB(v version) []string {
	access := "CAST(JSON_VALUE(Priv, '$.access') AS UNSIGNED)"
	old := "COALESCE(JSON_VALUE(Priv, '$.version_id'), 0) < 101100"
	if !v.since(10, 11, 0) {
		old = "1"
	}
	return []string{fmt.Sprintf("SELECT User AS user, Host AS host, COALESCE(JSON_VALUE(Priv, '$.is_role'), '0') AS role FROM mysql.global_priv "+
		"WHERE COALESCE(JSON_VALUE(Priv, '$.account_locked'), '0') IN ('0', 'false') AND (%s & %d OR (%s & %d AND %s)) ORDER BY 1, 2",
		access, readOnlyAdminBit, access, superBit, old)}
}

// bypassMySQL lists the holders of SUPER and, since 8.0, CONNECTION_ADMIN.
func bypassMySQL(version) []string {
	super := "SELECT User AS user, Host AS host, '0' AS role FROM mysql.user WHERE Super_priv = 'Y'"
	return []string{
		super + " UNION SELECT USER, HOST, '0' FROM mysql.global_grants WHERE PRIV = 'CONNECTION_ADMIN' ORDER BY 1, 2",
		super + " ORDER BY 1, 2",
	}
}

// bypass finds the accounts that a closed server does not stop.
func (k *checker) bypass(ctx context.Context) error {
	const item = "accounts that write through read_only"
	d := k.conn.dialect
	got, err := k.conn.first(ctx, "list the accounts of", d.bypass(k.conn.version))
	if err != nil {
		if n := number(err); n == 0 {
			return err
		}
		table := "mysql.global_priv"
		if d.flavor != cluster.MariaDB {
			table = "mysql.*"
		}
		k.unknown(item, k.account+" may not read the accounts", "GRANT SELECT ON "+table+" TO "+k.account+";")
		return nil
	}
	var names, others, fixes []string
	for i := range got.rows {
		r := got.row(i)
		user, host := r.text("user"), r.text("host")
		name := account(user, host)
		if name == k.account || slices.Contains(k.options.Ours, user) {
			continue
		}
		if on(r.text("role")) {
			name = "role " + literal(user) + " and whoever has it"
		}
		names = append(names, name)
		if user == "root" && slices.Contains([]string{"localhost", "127.0.0.1", "::1", k.vars["hostname"]}, host) || strings.HasPrefix(user, "mysql.") {
			continue
		}
		others = append(others, name)
		fixes = append(fixes, "REVOKE "+k.bypassPrivilege()+" ON *.* FROM "+revokee(user, host, on(r.text("role")))+";")
	}
	switch {
	case len(names) == 0:
		k.ok(item, "none besides "+k.account)
	case len(others) == 0:
		k.ok(item, "only those of the server's own administration: "+strings.Join(names, ", "))
	case d.superReadOnly:
		k.ok(item, "stopped by super_read_only: "+strings.Join(others, ", "))
	default:
		k.warn(item, "an application that logs in as one of these writes to a closed server: "+strings.Join(others, ", "), strings.Join(fixes, "\n"))
	}
	return nil
}

// bypassPrivilege is what has to be revoked.
func (k *checker) bypassPrivilege() string {
	switch {
	case k.conn.version.flavor != cluster.MariaDB && k.conn.version.since(8, 0, 0):
		return "SUPER, CONNECTION_ADMIN"
	case k.conn.version.flavor != cluster.MariaDB:
		return "SUPER"
	case k.conn.version.since(10, 11, 0):
		return "READ_ONLY ADMIN"
	}
	return "SUPER, READ_ONLY ADMIN"
}

func revokee(user, host string, role bool) string {
	if role {
		return literal(user)
	}
	return account(user, host)
}
