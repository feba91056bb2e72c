package mysqlnode

import (
	"slices"
	"strings"
	"testing"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// What is missing is what the account would lack at its next log-in, whatever the
// open session may still do: privileges of its own and those of roles alike.
func TestMissingIsWhatIsGrantedNow(t *testing.T) {
	onEach(t, func(t *testing.T, kind *brand) {
		s := startServer(t, kind, 1)
		const lost = "CONNECTION ADMIN"
		word := func(privilege string) string {
			if kind.flavor == cluster.MySQL {
				return strings.ReplaceAll(privilege, " ", "_")
			}
			return privilege
		}
		agent := account(agentUser, here)
		role, byDefault := "duty", "SET DEFAULT ROLE duty FOR "+agent
		if kind.flavor == cluster.MySQL {
			byDefault = "SET DEFAULT ROLE duty TO " + agent
		}
		old := s.connect(agentUser)
		missing := func(when string, c *Conn, want ...string) {
			t.Helper()
			got, err := c.Missing(t.Context(), RoleAgent)
			must(t, err)
			if !slices.Equal(got, want) {
				t.Errorf("%s: missing %q, want %q", when, got, want)
			}
		}
		missing("at first", old)
		s.quietly("REVOKE " + word(lost) + " ON *.* FROM " + agent)
		missing("revoked", old, word(lost))
		poor := s.connect(agentUser)
		missing("on a session opened since", poor, word(lost))
		s.quietly("GRANT " + word(lost) + " ON *.* TO " + agent)
		missing("granted again", old)
		missing("granted again, on a session without it", poor)

		s.quietly("REVOKE RELOAD, CREATE USER ON *.* FROM " + agent)
		missing("what may not be in use", old)

		s.quietly("CREATE ROLE "+role, "GRANT "+word(lost)+" ON *.* TO "+role, "REVOKE "+word(lost)+" ON *.* FROM "+agent,
			"GRANT "+role+" TO "+agent)
		missing("by a role that is not in use", old, word(lost))
		s.quietly(byDefault)
		missing("by a role in use, on a session opened before", old)
		fresh := s.connect(agentUser)
		missing("by a role in use", fresh)
		s.quietly("REVOKE " + word(lost) + " ON *.* FROM " + role)
		missing("the role has it no more", fresh, word(lost))
		s.quietly("GRANT " + word(lost) + " ON *.* TO " + role)
		missing("the role has it again", fresh)
		s.quietly("REVOKE " + role + " FROM " + agent)
		missing("the role is taken away", fresh, word(lost))
		missing("the role is taken away, on the oldest session", old, word(lost))

		s.quietly("REVOKE ALL PRIVILEGES, GRANT OPTION FROM " + agent)
		var all []string
		for _, g := range old.dialect.grants[RoleAgent] {
			if !g.spare {
				all = append(all, g.privilege)
			}
		}
		missing("nothing is granted", old, all...)

		// Who cannot log in any more is not known to lack anything, and the session is good.
		s.quietly("ALTER USER " + agent + " ACCOUNT LOCK")
		_, err := old.Missing(t.Context(), RoleAgent)
		want(t, err, cluster.CauseOther)
		must(t, old.Ping(t.Context()))
	})
}

func TestRolesShowInTheGrants(t *testing.T) {
	r := func(lines ...string) (list result) {
		for _, l := range lines {
			list.rows = append(list.rows, []value{{l, true}})
		}
		return list
	}
	for text, want := range map[string]bool{
		"GRANT PROCESS ON *.* TO `a`@`%` WITH GRANT OPTION":                        false,
		"GRANT USAGE ON *.* TO `a`@`%`\nGRANT SELECT ON `mysql`.`user` TO `a`@`%`": false,
		"GRANT USAGE ON *.* TO `a`@`%`\nGRANT `r`@`%` TO `a`@`%`":                  true,
		"GRANT USAGE ON *.* TO `a`@`%`\nGRANT PROCESS ON *.* TO `r`":               true,
	} {
		if got := rolesIn(r(strings.Split(text, "\n")...)); got != want {
			t.Errorf("roles in %q: %v", text, got)
		}
	}
}
