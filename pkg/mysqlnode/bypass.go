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
	return []string{fmt.Sprintf("SELECT User AS user, Host AS host, COALESCE(JSON_VALUE(Priv, '$.is_role'), '0') AS role, "+
		"COALESCE(JSON_VALUE(Priv, '$.account_locked'), '0') NOT IN ('0', 'false') AS locked "+
		"FROM mysql.global_priv WHERE %s & %d OR (%s & %d AND %s) ORDER BY 1, 2",
		access, readOnlyAdminBit, access, superBit, old)}
}

// bypassMySQL lists the holders of SUPER; later releases have super_read_only.
func bypassMySQL(version) []string {
	return []string{"SELECT User AS user, Host AS host, '0' AS role, '0' AS locked FROM mysql.user WHERE Super_priv = 'Y' ORDER BY 1, 2"}
}

// bypass finds the accounts that a closed server does not stop.
func (k *checker) bypass(ctx context.Context) error {
	const item = "accounts that write through read_only"
	d := k.conn.dialect
	if d.superReadOnly {
		k.ok(item, "none: super_read_only stops all")
		return k.outOfReach(ctx)
	}
	got, err := k.conn.first(ctx, "list the accounts of", d.bypass(k.conn.version))
	if err != nil {
		if n := number(err); n == 0 {
			return err
		}
		table := "mysql.global_priv"
		if d.flavor != cluster.MariaDB {
			table = "mysql.user"
		}
		k.unknown(item, k.account+" may not read the accounts", "GRANT SELECT ON "+table+" TO "+k.account+";")
		return nil
	}
	var names, others, fixes []string
	for i := range got.rows {
		r := got.row(i)
		user, host := r.text("user"), r.text("host")
		name := account(user, host)
		if on(r.text("locked")) || name == k.account || slices.Contains(k.options.Ours, user) {
			continue
		}
		if on(r.text("role")) {
			name = "role " + literal(user) + " and whoever has it"
		}
		names = append(names, name)
		if k.administers(user, host) {
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
	default:
		k.warn(item, "an application that logs in as one of these writes to a closed server: "+strings.Join(others, ", "), strings.Join(fixes, "\n"))
	}
	return nil
}

// administers reports whether an account belongs to the server's own administration.
func (k *checker) administers(user, host string) bool {
	local := []string{"localhost", "127.0.0.1", "::1", k.vars["hostname"]}
	return user == "root" && slices.Contains(local, host) || strings.HasPrefix(user, "mysql.")
}

// outOfReach finds accounts that an agent may neither lock nor always kill: since
// MySQL 8.0.16 the holders of SYSTEM_USER, which GRANT ALL contains.
func (k *checker) outOfReach(ctx context.Context) error {
	const item = "accounts that the agent may not lock"
	if k.options.Role != RoleAgent || !k.conn.version.since(8, 0, 16) || k.privileges.has(grant{privilege: "SYSTEM_USER", on: "*.*"}) {
		return nil
	}
	got, err := k.conn.query(ctx, "list the accounts of", "SELECT USER AS user, HOST AS host FROM mysql.global_grants WHERE PRIV = 'SYSTEM_USER' ORDER BY 1, 2")
	fix := "GRANT SYSTEM_USER ON *.* TO " + k.account + ";"
	switch {
	case err != nil && number(err) == 0:
		return err
	case err != nil || len(got) != 1:
		k.unknown(item, k.account+" may not read who has SYSTEM_USER", "GRANT SELECT ON mysql.global_grants TO "+k.account+";")
		return nil
	}
	var names []string
	for i := range got[0].rows {
		user, host := got[0].row(i).text("user"), got[0].row(i).text("host")
		if !k.administers(user, host) && account(user, host) != k.account && !slices.Contains(k.options.Ours, user) {
			names = append(names, account(user, host))
		}
	}
	if len(names) == 0 {
		k.ok(item, "none but those of the server's own administration")
	} else {
		k.warn(item, "they have SYSTEM_USER, which "+k.account+" lacks, so that their sessions may outlast a closing: "+strings.Join(names, ", "), fix)
	}
	return nil
}

// bypassPrivilege is what has to be revoked.
func (k *checker) bypassPrivilege() string {
	switch {
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
