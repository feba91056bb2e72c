package mysqlnode

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/gtid"
)

// keeper is a person who may do everything.
const keeper = "keeper"

func TestDiscard(t *testing.T) {
	onEach(t, func(t *testing.T, kind *brand) {
		a, b := startPair(t, kind)
		a.quietly("CREATE USER "+keeper+"@'127.0.0.1' IDENTIFIED BY 'pw'", "GRANT ALL ON *.* TO "+keeper+"@'127.0.0.1'")
		a.do("INSERT INTO app.t VALUES (2, 2)")
		eventually(t, 10*time.Second, "b has it", func() bool { return b.value("SELECT COUNT(*) FROM app.t") == "2" })
		a.do("STOP REPLICA")
		b.do("STOP REPLICA")
		keep := a.position()
		a.do("INSERT INTO app.t VALUES (3, 3)")
		a.do("DELETE FROM app.t WHERE id = 2")
		if kind.flavor == cluster.MySQL {
			a.do("SET GLOBAL super_read_only = 1")
		} else {
			a.do("SET GLOBAL read_only = 1")
		}
		had, rows := a.position(), func() string { return a.value("SELECT GROUP_CONCAT(id ORDER BY id) FROM app.t") }
		c := a.marked(keeper, shop)
		d := Discard{Errant: a.beyond(keep), Keep: keep}

		err := c.Undo(t.Context(), d, []string{"INSERT INTO app.t SET id = 2, v = 2", "DELETE FROM app.t WHERE id = 3 AND v = 4"})
		if !errors.Is(err, ErrUntouched) || rows() != "1,3" || a.position() != had {
			t.Fatalf("%v; rows %s, position %s, want 1,3 and %s", err, rows(), a.position(), had)
		}
		if got, err := c.Discarding(t.Context()); got != nil || err != nil {
			t.Fatalf("noted: %+v, %v", got, err)
		}
		must(t, c.Undo(t.Context(), d, []string{"INSERT INTO app.t SET id = 2, v = 2", "DELETE FROM app.t WHERE id = 3 AND v = 3"}))
		if readOnly, super := a.closed(); rows() != "1,2" || a.position() != had || !readOnly || super != (a.super() == cluster.Yes) {
			t.Fatalf("rows %s, position %s, closed %v %v", rows(), a.position(), readOnly, super)
		}
		// What somebody wrote since is in no note, and its row would stay.
		a.quietly("SET SESSION sql_log_bin = 1", "INSERT INTO app.t VALUES (9, 9)")
		if err := c.Forget(t.Context(), d); err == nil || !strings.Contains(err.Error(), "other transactions") {
			t.Fatalf("a transaction that was not noted is forgotten: %v", err)
		}
		d.Errant = a.beyond(keep)
		a.quietly("DELETE FROM app.t WHERE id = 9")
		must(t, c.Undo(t.Context(), d, nil))
		// Another session finds out how far it has come.
		c = a.marked(keeper, shop)
		got, err := c.Discarding(t.Context())
		if err != nil || got == nil || *got != d {
			t.Fatalf("noted: %+v, %v", got, err)
		}
		must(t, c.Forget(t.Context(), *got))
		if readOnly, super := a.closed(); a.position() != keep || !readOnly || super != (a.super() == cluster.Yes) {
			t.Fatalf("position %s, want %s; closed %v %v", a.position(), keep, readOnly, super)
		}
		if got, err := c.Discarding(t.Context()); got != nil || err != nil {
			t.Fatalf("noted: %+v, %v", got, err)
		}

		b.do("SET GLOBAL read_only = 0")
		b.do("INSERT INTO app.t VALUES (4, 4)")
		b.do("START REPLICA")
		must(t, c.StartReplication(t.Context()))
		eventually(t, 10*time.Second, "both replicate", func() bool { return rows() == "1,2,4" && a.running() && b.running() })

		if ch, err := c.Channel(t.Context()); err != nil || ch.SourceIdentity != b.identity() {
			t.Errorf("the source is %q, want %q, %v", ch.SourceIdentity, b.identity(), err)
		}

		// Whoever replicates, or is open, forgets nothing, and nothing is taken back there.
		refused := func(what string) {
			t.Helper()
			d := Discard{Errant: a.beyond(keep), Keep: keep}
			if err := c.Undo(t.Context(), d, []string{"DELETE FROM app.t WHERE id = 4"}); err == nil || rows() != "1,2,4" {
				t.Errorf("rows of %s were taken back: %v", what, err)
			}
			if err := c.Forget(t.Context(), d); err == nil {
				t.Errorf("%s has forgotten its transactions", what)
			}
		}
		refused("a server that replicates")
		must(t, c.StopReplication(t.Context()))
		a.do("SET GLOBAL read_only = 0")
		refused("an open server")
	})
}

// beyond is what the server has executed and a position lacks.
func (s *server) beyond(position string) string {
	s.t.Helper()
	all, err := gtid.Parse(s.flavor, s.position())
	must(s.t, err)
	some, err := gtid.Parse(s.flavor, position)
	must(s.t, err)
	return all.Minus(some).String()
}

// running reports whether both threads of the channel run.
func (s *server) running() bool {
	s.t.Helper()
	ch, err := s.connect(monitorUser).Channel(s.t.Context())
	must(s.t, err)
	return ch.IO == cluster.ThreadYes && ch.SQL == cluster.ThreadYes
}

func TestTable(t *testing.T) {
	onEach(t, func(t *testing.T, kind *brand) {
		s := startServer(t, kind, 1)
		s.quietly("CREATE USER "+keeper+"@'127.0.0.1' IDENTIFIED BY 'pw'", "GRANT ALL ON *.* TO "+keeper+"@'127.0.0.1'",
			"CREATE TABLE app.child (id INT UNSIGNED PRIMARY KEY, t INT, made INT AS (id + 1) STORED, c CHAR(3) CHARACTER SET latin1 DEFAULT 'x', "+
				"b BINARY(4) DEFAULT (X'00'), FOREIGN KEY (t) REFERENCES app.t (id) ON DELETE CASCADE)",
			"CREATE TRIGGER app.fires BEFORE DELETE ON app.child FOR EACH ROW SET @x = 1")
		c := s.connect(keeper)
		parent, err := c.Table(t.Context(), cluster.Table{Schema: "app", Name: "t"})
		must(t, err)
		if parent.Engine != "InnoDB" || !parent.Cascades || parent.Triggers || len(parent.Columns) != 2 || !parent.Columns[0].Key {
			t.Errorf("%+v", parent)
		}
		child, err := c.Table(t.Context(), cluster.Table{Schema: "app", Name: "child"})
		must(t, err)
		if child.Cascades || !child.Triggers || len(child.Columns) != 5 {
			t.Fatalf("%+v", child)
		}
		for i, made := range []bool{false, false, true, false, false} {
			if child.Columns[i].Generated != made {
				t.Errorf("generated: %+v", child.Columns[i])
			}
		}
		if id, c, b := child.Columns[0], child.Columns[3], child.Columns[4]; id.Digits("-1") != "4294967295" || c.Charset != "latin1" || b.Bytes != 4 {
			t.Errorf("%+v", child.Columns)
		}
		none, err := c.Table(t.Context(), cluster.Table{Schema: "app", Name: "none"})
		if err != nil || none.Engine != "" {
			t.Errorf("a table that is not there: %+v, %v", none, err)
		}
		if _, err := s.connect(agentUser).Table(t.Context(), cluster.Table{Schema: "app", Name: "t"}); err == nil {
			t.Error("an account that sees no triggers was told of none")
		}
		// Rows of another schema may be changed by a foreign key, too.
		s.quietly("DROP TABLE app.child", "CREATE DATABASE other", "CREATE TABLE other.child (t INT, FOREIGN KEY (t) REFERENCES app.t (id) ON UPDATE CASCADE)",
			"CREATE USER half@'127.0.0.1' IDENTIFIED BY 'pw'", "GRANT ALL ON app.* TO half@'127.0.0.1'")
		if got, err := s.connect("half").Table(t.Context(), cluster.Table{Schema: "app", Name: "t"}); err == nil {
			t.Errorf("an account that does not see all foreign keys was told %+v", got)
		}
		s.quietly("GRANT TRIGGER ON *.* TO half@'127.0.0.1'")
		if got, err := s.connect("half").Table(t.Context(), cluster.Table{Schema: "app", Name: "t"}); err != nil || !got.Cascades {
			t.Errorf("an account that sees all foreign keys was told %+v, %v", got, err)
		}
	})
}
