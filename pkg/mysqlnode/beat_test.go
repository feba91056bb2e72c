package mysqlnode

import (
	"database/sql/driver"
	"slices"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

const beatsQuery = "SELECT COALESCE(SUM(beats), 0) FROM mmm_meta.write_probe"

func TestABeatReplicatesAndOnlyWhereItIsOpen(t *testing.T) {
	onEach(t, func(t *testing.T, kind *brand) {
		a, b := startPair(t, kind)
		c := a.connect(agentUser)
		const node = cluster.Endpoint("[2001:db8::1]:3306")
		for range 3 {
			must(t, c.WriteBeat(within(t, 5*time.Second), shop, node))
		}
		must(t, c.WriteBeat(t.Context(), shop, "db2:3306"))
		if at := a.position(); at != a.upTo(6) { // schema, table, four rows
			t.Errorf("position %q", at)
		}
		eventually(t, 10*time.Second, "the rows are on the other server", func() bool {
			return b.value("SELECT COUNT(*) FROM information_schema.tables WHERE table_name = 'write_probe'") == "1" && b.value(beatsQuery) == "4"
		})
		// The account may write through read_only on MariaDB, and does not.
		d := b.connect(agentUser)
		if err := d.WriteBeat(t.Context(), shop, node); err != nil && number(err) != errReadOnlyOption {
			t.Errorf("closed: %v", err)
		}
		if err := d.WriteBeat(t.Context(), EpochAt{Table: "mmm_none.epoch", UniqSign: "x"}, node); err != nil && number(err) != errReadOnlyOption && !refused(number(err)) {
			t.Errorf("closed, with no table: %v", err)
		}
		if got := b.value(beatsQuery); got != "4" {
			t.Errorf("a closed server took %s rows", got)
		}
		if got := b.value("SELECT COUNT(*) FROM information_schema.schemata WHERE schema_name = 'mmm_none'"); got != "0" {
			t.Error("a closed server made a schema")
		}
		folders, err := c.Folders(t.Context())
		must(t, err)
		if len(folders) != 2 || !slices.Contains(folders, a.value("SELECT @@datadir")) {
			t.Errorf("folders %q", folders)
		}
	})
}

// Whoever waits for what others hold is seen to, and not taken for a disk that stands still.
func TestABeatThatOthersHoldUp(t *testing.T) {
	onEach(t, func(t *testing.T, kind *brand) {
		s := startServer(t, kind, 1)
		s.do("SET GLOBAL read_only = 0")
		writer, looker := s.connect(agentUser), s.connect(agentUser)
		must(t, writer.WriteBeat(t.Context(), shop, "db1:3306"))
		backup := []string{"BACKUP STAGE START", "BACKUP STAGE BLOCK_DDL", "BACKUP STAGE BLOCK_COMMIT"}
		if kind.flavor == cluster.MySQL {
			backup = []string{"LOCK TABLES mmm_meta.write_probe READ"}
		}
		for name, hold := range map[string][]string{
			"a backup with FLUSH TABLES WITH READ LOCK": {"FLUSH TABLES WITH READ LOCK"},
			"a backup by stages":                        backup,
			"a table that is locked":                    {"LOCK TABLES mmm_meta.write_probe WRITE"},
		} {
			t.Run(name, func(t *testing.T) {
				holder, err := s.admin.Conn(t.Context())
				must(t, err)
				for _, text := range hold {
					if _, err := holder.ExecContext(t.Context(), text); err != nil {
						t.Fatalf("%s: %v", text, err)
					}
				}
				done := make(chan error, 1)
				go func() { done <- writer.WriteBeat(t.Context(), shop, "db1:3306") }()
				var seen Session
				eventually(t, 2*time.Second, "it is seen to be held", func() bool {
					all, err := looker.Sessions(t.Context())
					must(t, err)
					i := slices.IndexFunc(all, func(x Session) bool { return x.ID == writer.ID() })
					seen = all[i]
					return seen.Held()
				})
				t.Logf("state %q", seen.State)
				_ = holder.Raw(func(any) error { return driver.ErrBadConn }) // it is closed, and all that it holds let go
				<-done                                                       // written, or given up after the lock wait of the session
			})
		}
	})
}
