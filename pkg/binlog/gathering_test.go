package binlog

import (
	"errors"
	"slices"
	"testing"

	"github.com/go-mysql-org/go-mysql/mysql"
	"github.com/go-mysql-org/go-mysql/replication"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// begins is the event with which a transaction of MariaDB begins.
func begins(seq uint64) *replication.BinlogEvent {
	return &replication.BinlogEvent{Header: &replication.EventHeader{EventType: replication.MARIADB_GTID_EVENT},
		Event: &replication.MariadbGTIDEvent{GTID: mysql.MariadbGTID{ServerID: 1, SequenceNumber: seq}}}
}

// inserts is an event with so many new rows.
func inserts(n int) *replication.BinlogEvent {
	ev := &replication.RowsEvent{Table: &replication.TableMapEvent{Schema: []byte("app"), Table: []byte("t"), ColumnType: []byte{mysql.MYSQL_TYPE_LONG}}}
	for i := range n {
		ev.Rows = append(ev.Rows, []any{int32(i)})
	}
	return &replication.BinlogEvent{RawData: make([]byte, replication.EventHeaderSize), Header: &replication.EventHeader{EventType: replication.WRITE_ROWS_EVENTv2}, Event: ev}
}

func event(kind replication.EventType, e replication.Event) *replication.BinlogEvent {
	return &replication.BinlogEvent{Header: &replication.EventHeader{EventType: kind}, Event: e}
}

func gathered(t *testing.T, rows int, keep func(cluster.Transaction) bool, events ...*replication.BinlogEvent) []cluster.Transaction {
	t.Helper()
	var all []cluster.Transaction
	g := gathering{rows: rows, each: func(t cluster.Transaction) (bool, error) {
		all = append(all, t)
		return keep(t), nil
	}}
	for _, e := range events {
		if err := g.take(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := g.end(); err != nil {
		t.Fatal(err)
	}
	return all
}

func everything(cluster.Transaction) bool { return true }

// What is not kept takes no room from what is.
func TestRoom(t *testing.T) {
	events := []*replication.BinlogEvent{begins(1), inserts(3), begins(2), inserts(2), begins(3), inserts(1), inserts(2)}
	for name, c := range map[string]struct {
		keep          func(cluster.Transaction) bool
		kept, skipped []int
	}{
		"all are kept":        {everything, []int{3, 1, 0}, []int{0, 1, 3}},
		"the first is common": {func(t cluster.Transaction) bool { return t.GTID != "0-1-1" }, []int{3, 2, 2}, []int{0, 0, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			var kept, skipped []int
			for _, one := range gathered(t, 4, c.keep, events...) {
				kept, skipped = append(kept, len(one.Changes)), append(skipped, one.Skipped)
			}
			if !slices.Equal(kept, c.kept) || !slices.Equal(skipped, c.skipped) {
				t.Errorf("%v rows kept, %v not; want %v and %v", kept, skipped, c.kept, c.skipped)
			}
		})
	}
}

// An event of a kind that nobody knows here may change something.
func TestUnknownEvents(t *testing.T) {
	xid := event(replication.XID_EVENT, &replication.XIDEvent{})
	got := gathered(t, 9, everything, begins(1), inserts(1), event(replication.INCIDENT_EVENT, &replication.GenericEvent{}), xid,
		begins(2), inserts(1), event(replication.HEARTBEAT_EVENT, &replication.GenericEvent{}), event(replication.QUERY_EVENT, &replication.QueryEvent{Query: []byte("COMMIT")}),
		event(replication.STOP_EVENT, &replication.GenericEvent{}))
	if len(got) != 2 || !slices.Equal(got[0].Statements, []string{"IncidentEvent"}) || len(got[1].Statements) != 0 {
		t.Errorf("%+v", got)
	}
}

func TestWhatEachSaysEndsIt(t *testing.T) {
	enough := errors.New("enough")
	g := gathering{each: func(cluster.Transaction) (bool, error) { return false, enough }}
	if err := errors.Join(g.take(begins(1)), g.take(inserts(1))); err != nil {
		t.Fatal(err)
	}
	if err := g.take(begins(2)); !errors.Is(err, enough) {
		t.Error(err)
	}
}

func TestPasswordsAreLeftOut(t *testing.T) {
	for statement, want := range map[string]string{
		"CREATE USER zz@'10.0.0.1' IDENTIFIED BY 'it''s \\' a secret', 'b'@\"%\" identified by \"more\"": "CREATE USER zz@'10.0.0.1' IDENTIFIED BY '***', 'b'@\"%\" identified by '***'",
		"CREATE USER 'zz'@'%' IDENTIFIED WITH 'caching_sha2_password' AS '$A$005$\n;x' ACCOUNT LOCK":     "CREATE USER 'zz'@'%' IDENTIFIED WITH '***' AS '***' ACCOUNT LOCK",
		"ALTER USER zz IDENTIFIED WITH native AS 0x2A4142":                                               "ALTER USER zz IDENTIFIED WITH native AS '***'",
		"SET PASSWORD FOR 'zz'@'%'='*6BB4837EB74329105EE4568DDA7DC67ED2CA2AD9'":                          "SET PASSWORD FOR 'zz'@'%'='***'",
		"SET PASSWORD = 'cut off in the mid":                                                             "SET PASSWORD = '***'",
		"INSERT INTO app.t VALUES ('plain')":                                                             "INSERT INTO app.t VALUES ('plain')",
	} {
		if got := discreet(statement); got != want {
			t.Errorf("%s\n%s\nwant\n%s", statement, got, want)
		}
	}
}
