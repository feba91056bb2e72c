package mysqlnode

import (
	"strings"
	"testing"
	"time"
)

func TestChooseDialect(t *testing.T) {
	for _, tt := range []struct {
		version, comment string
		want             *dialect
	}{
		{"5.5.62", "", mysql56},
		{"5.6.24-log", "MySQL Community Server (GPL)", mysql56},
		{"5.7.44-48-log", "Percona Server", mysql57},
		{"8.0.21", "", mysql57},
		{"8.0.22", "", mysql8022},
		{"8.0.36-28", "Percona Server", mysql8026},
		{"9.7.4-2", "Debian", mysql8026},
		{"27.1.0", "", mysql8026}, // with a warning
		{"10.4.0-MariaDB", "", mariadb105},
		{"10.11.19-MariaDB-0+deb12u1-log", "Debian 12", mariadb105},
		{"13.0.1", "MariaDB Server", mariadb105},
	} {
		if got := chooseDialect(parseVersion(tt.version, tt.comment)); got != tt.want {
			t.Errorf("%s: got the row of %s %v", tt.version, got.flavor, got.since)
		}
	}
}

func TestAReleaseThatIsTooNewIsToldAndWorks(t *testing.T) {
	for text, want := range map[string]string{
		"9.7.4-2": "", "9.9.0": "", "8.4.6": "", "5.6.24-log": "", "11.8.6-MariaDB": "", "10.11.19-MariaDB": "",
		"10.0.1":         "MySQL 10.0 is newer than this program knows; it is treated like 9",
		"12.1.2-MariaDB": "MariaDB 12.1 is newer than this program knows; it is treated like 11",
	} {
		if got := parseVersion(text, "").warning(); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
	onEach(t, func(t *testing.T, kind *brand) {
		s := startServer(t, kind, 1)
		c := s.connect(monitorUser)
		if c.Warning() != "" {
			t.Error(c.Warning())
		}
		c.version.number = [3]int{27, 1, 0}
		c.dialect = chooseDialect(c.version)
		if c.Warning() == "" {
			t.Error("no warning")
		}
		_, err := c.Observe(t.Context(), nil)
		must(t, err)
		list, err := c.Check(t.Context(), CheckOptions{})
		must(t, err)
		severities(t, list, map[string]Severity{"release": SeverityWarn})
	})
}

func TestVersionSince(t *testing.T) {
	v := parseVersion("10.11.19-MariaDB", "")
	for number, want := range map[[3]int]bool{{10, 5, 20}: true, {10, 11, 19}: true, {10, 11, 20}: false, {11, 0, 0}: false, {9, 99, 99}: true} {
		if v.since(number[0], number[1], number[2]) != want {
			t.Errorf("%v: want %v", number, want)
		}
	}
}

func TestEachDialectClosesBeforeItOpensAndWordsTheWait(t *testing.T) {
	for _, tt := range []struct {
		d              *dialect
		super          bool
		start, waitFor string
	}{
		{mysql56, false, "SLAVE", "WAIT_UNTIL_SQL_THREAD_AFTER_GTIDS('u:1', 2)"},
		{mysql57, true, "SLAVE", "WAIT_FOR_EXECUTED_GTID_SET('u:1', 1.500)"},
		{mysql8026, true, "REPLICA", "WAIT_FOR_EXECUTED_GTID_SET('u:1', 1.500)"},
		{mariadb105, false, "SLAVE", "MASTER_GTID_WAIT('u:1', 1.500)"},
	} {
		closing, opening := strings.Join(tt.d.closing(1500*time.Millisecond), ";"), strings.Join(tt.d.opening(), ";")
		wantClosing := "SET SESSION lock_wait_timeout = 2;SET GLOBAL read_only = 1;SET SESSION lock_wait_timeout = 2"
		if tt.super {
			wantClosing = strings.Replace(wantClosing, "read_only", "super_read_only", 1)
		}
		if closing != wantClosing {
			t.Errorf("%v closes by %q", tt.d.since, closing)
		}
		if super := strings.Index(opening, "super_read_only"); (super >= 0) != tt.super || super > strings.Index(opening, " read_only") {
			t.Errorf("%v opens by %q", tt.d.since, opening)
		}
		if tt.d.replica != tt.start || !strings.HasSuffix(tt.d.wait("u:1", 1500*time.Millisecond), tt.waitFor) {
			t.Errorf("%v: START %s, %s", tt.d.since, tt.d.replica, tt.d.wait("u:1", 1500*time.Millisecond))
		}
		if has := strings.Contains(tt.d.sample, "super_read_only"); has != tt.super {
			t.Errorf("%v samples %s", tt.d.since, tt.d.sample)
		}
	}
	if !strings.Contains(mysql8026.sample, "@@global.log_replica_updates AS log_updates") {
		t.Error(mysql8026.sample)
	}
}

func TestWaitAnswers(t *testing.T) {
	for _, tt := range []struct {
		d       *dialect
		answer  value
		applied bool
		fails   bool
	}{
		{mysql56, value{"0", true}, true, false}, {mysql56, value{"23", true}, true, false}, {mysql56, value{"-1", true}, false, false},
		{mysql56, value{}, false, true}, {mysql57, value{"0", true}, true, false}, {mysql57, value{"1", true}, false, false},
		{mysql57, value{"2", true}, false, true}, {mariadb105, value{"0", true}, true, false}, {mariadb105, value{"-1", true}, false, false},
	} {
		applied, err := tt.d.ready(tt.answer)
		if applied != tt.applied || (err != nil) != tt.fails {
			t.Errorf("%v answers %+v: %v, %v", tt.d.since, tt.answer, applied, err)
		}
	}
}

func TestLiteralsComeBackAsTheyWere(t *testing.T) {
	onEach(t, func(t *testing.T, kind *brand) {
		s := startServer(t, kind, 1)
		c := s.connect(monitorUser)
		for _, text := range []string{"", "plain", "it's", `a\'; DROP TABLE t; -- `, "\x00\n\r\x1a\"`", "naïve – 漢字", `\`} {
			got, err := c.query(t.Context(), "echo on", "SELECT "+literal(text))
			must(t, err)
			if got[0].rows[0][0].text != text {
				t.Errorf("%q came back as %q", text, got[0].rows[0][0].text)
			}
		}
	})
}

func TestBooleansOfNewerReleases(t *testing.T) {
	for text, want := range map[string]bool{"1": true, "ON": true, "NO_LOCK_NO_ADMIN": true, "0": false, "off": false, "": false} {
		if on(text) != want {
			t.Errorf("%q: want %v", text, want)
		}
	}
	if wholeSeconds(0) != 1 || wholeSeconds(1001*time.Millisecond) != 2 || fractionalSeconds(-time.Second) != "0.001" {
		t.Error("a wait without an end")
	}
	if got := account(`o'b\c`, "10.%"); got != `'o''b\\c'@'10.%'` {
		t.Error(got)
	}
}
