package mysqlnode

import (
	"strings"
	"testing"
)

// What is proposed for a refused login lets it in, with every grant it needs.
func TestFixOfALogin(t *testing.T) {
	onEach(t, func(t *testing.T, kind *brand) {
		s := startServer(t, kind, 1)
		s.do("SET GLOBAL read_only = 0")
		version := s.value("SELECT VERSION()")
		refuse := func(user string) error {
			t.Helper()
			c, err := s.node(user).Connect(t.Context())
			if err == nil {
				_ = c.Close()
				t.Fatalf("%s is let in", user)
			}
			return err
		}
		apply := func(fix string) {
			t.Helper()
			for line := range strings.Lines(strings.NewReplacer("<its password>", "pw", "<its host>", "%").Replace(fix)) {
				if line = strings.TrimSpace(line); !strings.HasPrefix(line, "#") {
					s.quietly(line)
				}
			}
		}
		for _, role := range []Role{RoleMonitor, RoleAgent} {
			l := Login{Role: role, User: "new " + string(role), Password: "its password", EpochTable: shop.Table, Version: version}
			apply(l.Fix(refuse(l.User)))
			list, err := s.marked(l.User, shop).Check(t.Context(), CheckOptions{Role: role})
			must(t, err)
			severities(t, list, map[string]Severity{"grants of the " + string(role): SeverityOK})

			s.quietly("ALTER USER " + account(l.User, "%") + " ACCOUNT LOCK")
			apply(l.Fix(refuse(l.User)))
			s.connect(l.User)

			s.quietly("ALTER USER " + account(l.User, "%") + " IDENTIFIED BY 'another'")
			_, reset, ok := strings.Cut(l.Fix(refuse(l.User)), "# if it exists with another password: ")
			if !ok {
				t.Fatal("no way out where the password is wrong")
			}
			reset, _, _ = strings.Cut(reset, "\n")
			apply(reset)
			s.connect(l.User)
		}
	})
}

func TestFixOfALoginWordsTheFamily(t *testing.T) {
	denied := &Error{Number: errAccessDenied}
	fix := func(version string, err error) string {
		return Login{Role: RoleAgent, User: "mmm", Password: "p", Version: version}.Fix(err)
	}
	for version, want := range map[string]string{
		"10.11.6-MariaDB": "READ_ONLY ADMIN", "9.7.4": "SYSTEM_VARIABLES_ADMIN", "5.6.24-log": "SUPER",
	} {
		got := fix(version, denied)
		if !strings.Contains(got, want) || !strings.HasPrefix(got, "CREATE USER 'mmm'@'%' IDENTIFIED BY '<p>';\n") || strings.Contains(got, "MySQL 8") {
			t.Errorf("%s: %s", version, got)
		}
		if has := strings.Contains(got, "ALTER USER"); has != (want != "SUPER") {
			t.Errorf("%s: ALTER USER: %v", version, has)
		}
	}
	if got := fix("", denied); !strings.Contains(got, "# MariaDB:\nGRANT READ_ONLY ADMIN") || !strings.Contains(got, "# MySQL 8 and later:\nGRANT SYSTEM_VARIABLES_ADMIN") {
		t.Errorf("of an unknown family: %s", got)
	}
	if got := fix("9.7.4", &Error{Number: errTooManyConnections}); got != "" {
		t.Errorf("a full server: %s", got)
	}
}
