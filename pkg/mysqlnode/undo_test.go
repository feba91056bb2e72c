package mysqlnode

import (
	"strings"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/binlog"
	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/gtid"
)

// takeBack takes back what came after a position, as the binary log tells it.
func (s *server) takeBack(c *Conn, position string) error {
	s.t.Helper()
	logs, err := c.BinaryLogs(s.t.Context())
	must(s.t, err)
	before, err := gtid.Parse(s.flavor, position)
	must(s.t, err)
	has := func(text string) (bool, error) {
		set, err := gtid.Parse(s.flavor, text)
		return err == nil && before.Contains(set), err
	}
	var all []cluster.Transaction
	complete, err := binlog.New(binlog.Options{Addr: s.addr(), Flavor: s.flavor, User: keeper, Password: "pw", Logs: logs, Rows: 1000}).Read(s.t.Context(), has,
		func(t cluster.Transaction) (bool, error) {
			common, err := has(t.GTID)
			if !common && err == nil {
				all = append(all, t)
			}
			return !common, err
		})
	must(s.t, err)
	if !complete || len(all) == 0 {
		s.t.Fatalf("%d transactions after %s, complete %v", len(all), position, complete)
	}
	var statements []string
	for i := len(all) - 1; i >= 0; i-- {
		more, err := Inverses(all[i], func(t cluster.Table) (cluster.TableInfo, error) { return c.Table(s.t.Context(), t) })
		if err != nil {
			return err
		}
		statements = append(statements, more...)
	}
	s.t.Log(strings.Join(statements, "\n"))
	return c.Undo(s.t.Context(), Discard{}, statements)
}

// contents are the rows of app.x, byte by byte.
func (s *server) contents() string {
	s.t.Helper()
	terms := s.value("SELECT GROUP_CONCAT(CONCAT('COALESCE(HEX(CAST(', COLUMN_NAME, ' AS BINARY)), \\'NULL\\')') ORDER BY ORDINAL_POSITION) " +
		"FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = 'app' AND TABLE_NAME = 'x'")
	return s.value("SELECT GROUP_CONCAT(r ORDER BY r SEPARATOR '\n') FROM (SELECT CONCAT_WS(' ', " + terms + ") AS r FROM app.x) AS x")
}

// What transactions changed is as it was, to the byte, or nothing is touched.
func TestTransactionsAreTakenBack(t *testing.T) {
	// The time zone of this machine is nobody's business.
	local := time.Local
	time.Local = time.FixedZone("far", -5*3600)
	t.Cleanup(func() { time.Local = local })
	const (
		document = `CREATE TABLE app.x (id INT PRIMARY KEY, j JSON, n INT); INSERT INTO app.x VALUES (1, '{"a": 1.0}', 1), (2, '{"a": "1.5"}', 2), (3, NULL, 3)`
		pair     = "CREATE TABLE app.x (id INT PRIMARY KEY, n INT); INSERT INTO app.x VALUES (1, 1), (2, 2)"
		stamps   = "CREATE TABLE app.x (id INT PRIMARY KEY, t TIMESTAMP(3) NULL); INSERT INTO app.x VALUES (1, '2024-01-01 01:02:03.456'), (2, NULL)"
	)
	cases := []struct {
		name          string
		only          cluster.Flavor
		before, after string
		refused       string
	}{
		{name: "times", before: "CREATE TABLE app.x (id INT PRIMARY KEY, a TIME(2), b TIME(4), c TIME(6), d TIME, e DATETIME(6), f TIMESTAMP(6) NULL, g DATE, h YEAR); INSERT INTO app.x VALUES " +
			"(1, '-00:00:00.01', '-00:00:00.0001', '-00:00:00.000001', '-838:59:59', '0001-01-01 00:00:00.000001', '2038-01-19 03:14:07.999999', '9999-12-31', 0), " +
			"(2, '-00:00:01.99', '-01:02:03.9999', '-838:59:58.999999', '838:59:59', '9999-12-31 23:59:59.999999', '1970-01-01 00:00:01.000001', '1000-01-01', 1901), " +
			"(3, '-00:00:01', '-00:00:01', '00:00:00.1', '00:00:00', '0000-00-00', '0000-00-00', '2024-02-00', 2155)",
			after: "UPDATE app.x SET a = 0, b = 0, c = 0, d = 0, e = NOW(), f = NOW(), g = NOW(), h = 7; DELETE FROM app.x"},
		{name: "dates of no calendar", before: "SET sql_mode = 'ALLOW_INVALID_DATES'; CREATE TABLE app.x (id INT PRIMARY KEY, e DATETIME, g DATE); INSERT INTO app.x VALUES (1, '2024-02-30', '2023-02-29')",
			after: "DELETE FROM app.x"},
		{name: "a time that changes by itself", before: "CREATE TABLE app.x (id INT PRIMARY KEY, n INT, t TIMESTAMP NOT NULL DEFAULT NOW() ON UPDATE NOW()); INSERT INTO app.x VALUES (1, 5, '2024-01-01')",
			after: "UPDATE app.x SET n = 4, t = t"},
		{name: "compressed times", only: cluster.MySQL, before: stamps, after: "SET SESSION binlog_transaction_compression = 1; DELETE FROM app.x; INSERT INTO app.x VALUES (4, '2024-05-05 05:05:05'); SET SESSION binlog_transaction_compression = 0"},
		{name: "compressed events", only: cluster.MariaDB, before: stamps,
			after: "SET GLOBAL log_bin_compress_min_len = 10, GLOBAL log_bin_compress = 1; UPDATE app.x SET t = NOW(); DELETE FROM app.x; INSERT INTO app.x VALUES (4, NULL); SET GLOBAL log_bin_compress = 0"},
		{name: "compressed statements", only: cluster.MariaDB, before: stamps,
			after: "SET GLOBAL log_bin_compress_min_len = 10, GLOBAL log_bin_compress = 1; TRUNCATE TABLE app.x; SET GLOBAL log_bin_compress = 0", refused: "more than rows"},
		{name: "numbers", before: "CREATE TABLE app.x (id BIGINT PRIMARY KEY, a DECIMAL(65,30), b DECIMAL(9,9), c DECIMAL(20,10), u BIGINT UNSIGNED, m MEDIUMINT UNSIGNED, z SMALLINT UNSIGNED ZEROFILL, " +
			"f FLOAT, g DOUBLE, b1 BIT(1), b64 BIT(64)); INSERT INTO app.x VALUES " +
			"(-9223372036854775808, -12345678901234567890123456789012345.123456789012345678901234567891, -0.000000001, -0.0000000001, 18446744073709551615, 16777215, 65535, 1.1754944e-38, 1.7976931348623157e308, b'1', X'FFFFFFFFFFFFFFFF'), " +
			"(9223372036854775807, 0.000000000000000000000000000001, 0.1, 1000000000.0000000001, 9223372036854775808, 8388608, 32768, 3.4028e38, 2.3e-308, b'0', X'8000000000000000'), " +
			"(0, 0, 0, 0, 0, 0, 0, 0.1, 0.1, NULL, 0), (3, 1, 0.9, -1000000001.000000001, 1, 1, 1, -0e0, -0e0, NULL, 1)",
			after: "UPDATE app.x SET f = 7, g = 8, a = a / 7, b = b / 7; DELETE FROM app.x"},
		{name: "texts", before: "CREATE TABLE app.x (id INT PRIMARY KEY, a VARCHAR(20) CHARACTER SET utf16, b CHAR(5) CHARACTER SET utf8mb4, c TEXT CHARACTER SET ucs2, d VARBINARY(20), e LONGTEXT CHARACTER SET utf32, " +
			"f CHAR(4) CHARACTER SET sjis, g ENUM('\u00e9', 'b') CHARACTER SET latin1, h SET('a','b')); INSERT INTO app.x VALUES " +
			"(1, 'a\U0001F600 ', 'x ', 'y ', X'00FF20', 'z\u00e9 ', '\u30bd', '\u00e9', 'a,b'), (2, '', '', '', '', '', '', 'b', '')",
			after: "UPDATE app.x SET a = 'A', b = '', c = UPPER(c), d = '', e = 'q', f = 'q', g = 'b', h = 'a'; DELETE FROM app.x"},
		{name: "texts that a collation takes for equal", before: "CREATE TABLE app.x (k VARCHAR(20) PRIMARY KEY, v VARCHAR(20)); INSERT INTO app.x VALUES ('a', 'x')", after: "UPDATE app.x SET k = 'A ', v = 'X'"},
		{name: "documents that stay", only: cluster.MySQL, before: document, after: "UPDATE app.x SET n = n + 1; INSERT INTO app.x VALUES (4, '1.0', 2), (5, NULL, 1), (6, 'null', 1)"},
		{name: "another number of the same text in a document", only: cluster.MySQL, before: document, after: `UPDATE app.x SET j = '{"a": 1}', n = 9 WHERE id = 1`, refused: "column j"},
		{name: "a number in place of a text in a document", only: cluster.MySQL, before: document, after: "UPDATE app.x SET j = JSON_SET(j, '$.a', 1.5), n = 3 WHERE id = 2", refused: "column j"},
		{name: "a compressed document", only: cluster.MySQL, before: document,
			after: "SET SESSION binlog_transaction_compression = 1; UPDATE app.x SET j = JSON_SET(j, '$.a', 1.5) WHERE id = 2; SET SESSION binlog_transaction_compression = 0", refused: "column j"},
		{name: "a part of a document", only: cluster.MySQL, before: `CREATE TABLE app.x (id INT PRIMARY KEY, j JSON); INSERT INTO app.x VALUES (1, JSON_OBJECT('a', 1, 'b', REPEAT('x', 200)))`,
			after: "SET SESSION binlog_row_value_options = 'PARTIAL_JSON'; UPDATE app.x SET j = JSON_SET(j, '$.a', 3); SET SESSION binlog_row_value_options = ''", refused: "lack columns"},
		{name: "images that lack columns", before: pair, after: "SET SESSION binlog_row_image = 'MINIMAL'; UPDATE app.x SET n = 2 WHERE id = 1; SET SESSION binlog_row_image = 'FULL'", refused: "lack columns"},
		{name: "keys that move", before: pair, after: "UPDATE app.x SET id = id + 1 ORDER BY id DESC; REPLACE INTO app.x VALUES (3, 9); UPDATE app.x SET id = 1 WHERE id = 2"},
		{name: "equal rows", before: "CREATE TABLE app.x (n INT, t TEXT); INSERT INTO app.x VALUES (1, 'a')", after: "INSERT INTO app.x VALUES (1, 'a')", refused: "2 rows"},
		{name: "a row that differs in nothing but case", before: "CREATE TABLE app.x (n INT, t TEXT); INSERT INTO app.x VALUES (1, 'a'), (1, 'A')", after: "DELETE FROM app.x WHERE BINARY t = 'A'"},
		{name: "columns that are computed", before: "CREATE TABLE app.x (id INT PRIMARY KEY, n INT, v INT AS (n * 2) VIRTUAL, s INT AS (n * 3) STORED, KEY (v)); INSERT INTO app.x (id, n) VALUES (1, 1)",
			after: "UPDATE app.x SET n = 2; DELETE FROM app.x; INSERT INTO app.x (id, n) VALUES (3, 3)"},
		{name: "an identity of zero", before: "SET sql_mode = 'NO_AUTO_VALUE_ON_ZERO'; CREATE TABLE app.x (id INT PRIMARY KEY AUTO_INCREMENT); INSERT INTO app.x VALUES (0), (-1)", after: "DELETE FROM app.x"},
		{name: "XA", before: pair, after: "XA START 'q'; UPDATE app.x SET n = 2 WHERE id = 1; XA END 'q'; XA PREPARE 'q'; XA COMMIT 'q'", refused: "more than rows"},
		{name: "XA that is prepared", before: pair, after: "XA START 'q'; INSERT INTO app.x VALUES (4, 4); XA END 'q'; XA PREPARE 'q'; XA ROLLBACK 'q'", refused: "more than rows"},
		{name: "a temporary table", before: pair, after: "CREATE TEMPORARY TABLE app.y (id INT); INSERT INTO app.y VALUES (7); INSERT INTO app.x SELECT id, id FROM app.y; DROP TEMPORARY TABLE app.y"},
		{name: "a statement", before: pair, after: "SET SESSION binlog_format = 'STATEMENT'; UPDATE app.x SET n = 2 WHERE id = 1; SET SESSION binlog_format = 'ROW'", refused: "more than rows"},
		{name: "an account", before: pair, after: "CREATE USER x@'10.0.0.1' IDENTIFIED BY 'hunter2'", refused: "more than rows: CREATE USER"},
		{name: "rows with a history", only: cluster.MariaDB, before: "CREATE TABLE app.x (id INT PRIMARY KEY, n INT) WITH SYSTEM VERSIONING; INSERT INTO app.x VALUES (1, 2)", after: "UPDATE app.x SET n = 4", refused: "no such table"},
	}
	onEach(t, func(t *testing.T, kind *brand) {
		started := startServer(t, kind, 1)
		started.quietly("CREATE USER "+keeper+"@'127.0.0.1' IDENTIFIED BY 'pw'", "GRANT ALL ON *.* TO "+keeper+"@'127.0.0.1'")
		for _, c := range cases {
			if c.only != "" && c.only != kind.flavor {
				continue
			}
			t.Run(c.name, func(t *testing.T) {
				s := *started
				s.t = t
				run := func(all string) {
					for text := range strings.SplitSeq(all, "; ") {
						s.do(text)
					}
				}
				run("SET GLOBAL read_only = 0; SET NAMES utf8mb4; SET time_zone = '+00:00', sql_mode = '', binlog_format = 'ROW', group_concat_max_len = 100000; " +
					"DROP TABLE IF EXISTS app.x; FLUSH BINARY LOGS")
				run(c.before)
				had, position := s.contents(), s.position()
				run(c.after + "; SET GLOBAL read_only = 1")
				left := s.contents()
				err := s.takeBack(s.connect(keeper), position)
				got := s.contents()
				if c.refused == "" && (err != nil || got != had) || c.refused != "" && (err == nil || !strings.Contains(err.Error(), c.refused) || got != left) {
					t.Errorf("%v, want %q; before\n%s\nchanged\n%s\ntaken back\n%s", err, c.refused, had, left, got)
				}
				if err != nil && strings.Contains(err.Error(), "hunter2") {
					t.Errorf("a password is told: %v", err)
				}
			})
		}
	})
}

// A log that is encrypted is listed with what its file has more than events.
func TestLogsThatAreListedLonger(t *testing.T) {
	onEach(t, func(t *testing.T, kind *brand) {
		s := startServer(t, kind, 1)
		s.quietly("CREATE USER "+keeper+"@'127.0.0.1' IDENTIFIED BY 'pw'", "GRANT ALL ON *.* TO "+keeper+"@'127.0.0.1'")
		s.do("SET GLOBAL read_only = 0")
		s.do("INSERT INTO app.t VALUES (2, 2)")
		logs, err := s.connect(keeper).BinaryLogs(t.Context())
		must(t, err)
		logs[len(logs)-1].Size += 512
		n := 0
		complete, err := binlog.New(binlog.Options{Addr: s.addr(), Flavor: s.flavor, User: keeper, Password: "pw", Logs: logs, Rows: 9}).Read(within(t, 20*time.Second),
			func(string) (bool, error) { return true, nil }, func(cluster.Transaction) (bool, error) { n++; return true, nil })
		if err != nil || !complete || n != 1 {
			t.Errorf("%d transactions, complete %v, %v", n, complete, err)
		}
	})
}
