package binlog

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/go-mysql-org/go-mysql/mysql"
	"github.com/go-mysql-org/go-mysql/replication"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// gathering puts the events of a log together to transactions.
type gathering struct {
	// rows is how many changes there is room for, kept how many each has kept.
	rows, kept int
	each       func(cluster.Transaction) (kept bool, err error)
	now        *cluster.Transaction
	// inner decodes what is compressed: the library does it in the time zone of this machine.
	inner *replication.BinlogParser
	// trailer is how many bytes of an event are its checksum.
	trailer int
}

// take adds one event.
func (g *gathering) take(e *replication.BinlogEvent) error {
	switch ev := e.Event.(type) {
	case *replication.GTIDEvent:
		return g.begin(gtidOf(ev), e.Header)
	case *replication.GtidTaggedLogEvent:
		return g.begin(gtidOf(&ev.GTIDEvent), e.Header)
	case *replication.MariadbGTIDEvent:
		return g.begin(ev.GTID.String(), e.Header)
	case *replication.FormatDescriptionEvent:
		if err := g.expect(e); err != nil {
			return err
		}
		return g.end()
	case *replication.RotateEvent, *replication.XIDEvent:
		return g.end()
	}
	if g.now == nil {
		return nil
	}
	switch ev := e.Event.(type) {
	case *replication.TransactionPayloadEvent:
		outer := g.trailer
		g.trailer = 0
		for _, as := range ev.Events {
			inner, err := g.inner.Parse(as.RawData)
			if err == nil {
				err = g.take(inner)
			}
			if err != nil {
				return err
			}
		}
		g.trailer = outer
	case *replication.RowsEvent:
		return g.add(e, ev)
	case *replication.QueryEvent:
		if text := string(ev.Query); text != "BEGIN" && text != "COMMIT" {
			g.now.Statements = append(g.now.Statements, discreet(text))
		}
	case *replication.TableMapEvent, *replication.RowsQueryEvent, *replication.IntVarEvent, *replication.MariadbAnnotateRowsEvent,
		*replication.MariadbBinlogCheckPointEvent, *replication.MariadbGTIDListEvent, *replication.PreviousGTIDsEvent:
	default:
		if !slices.Contains(idle, e.Header.EventType) {
			// Whatever it changes is not known.
			g.now.Statements = append(g.now.Statements, e.Header.EventType.String())
		}
	}
	return nil
}

// expect prepares for the events of a log, of which format is the first.
func (g *gathering) expect(format *replication.BinlogEvent) error {
	g.inner = replication.NewBinlogParser()
	g.inner.SetTimestampStringLocation(time.UTC)
	e, err := g.inner.Parse(format.RawData)
	if err != nil {
		return err
	}
	g.trailer = 0
	if f := e.Event.(*replication.FormatDescriptionEvent); f.ChecksumAlgorithm == replication.BINLOG_CHECKSUM_ALG_CRC32 {
		// What is compressed has none of its own.
		g.trailer, f.ChecksumAlgorithm = replication.BinlogChecksumLength, replication.BINLOG_CHECKSUM_ALG_OFF
	}
	return nil
}

// idle are events that change nothing themselves.
var idle = []replication.EventType{replication.STOP_EVENT, replication.HEARTBEAT_EVENT, replication.HEARTBEAT_LOG_EVENT_V2,
	replication.RAND_EVENT, replication.USER_VAR_EVENT, replication.MARIADB_START_ENCRYPTION_EVENT}

var (
	tellsSecrets = regexp.MustCompile(`(?i)\b(identified|password)\b`)
	quoted       = regexp.MustCompile(`(?is)'(?:[^'\\]|\\.|'')*'?|"(?:[^"\\]|\\.|"")*"?|\b0x[0-9a-f]+|\bx'[0-9a-f]*'`)
)

// discreet leaves out what is quoted where that may be a password, which MariaDB logs as
// it was given. Accounts are told.
func discreet(statement string) string {
	if !tellsSecrets.MatchString(statement) {
		return statement
	}
	var b strings.Builder
	from := 0
	for _, at := range quoted.FindAllStringIndex(statement, -1) {
		b.WriteString(statement[from:at[0]])
		from = at[1]
		if strings.HasSuffix(statement[:at[0]], "@") || strings.HasPrefix(statement[at[1]:], "@") {
			b.WriteString(statement[at[0]:at[1]])
		} else {
			b.WriteString("'***'")
		}
	}
	return b.String() + statement[from:]
}

func (g *gathering) begin(gtid string, h *replication.EventHeader) error {
	if err := g.end(); err != nil {
		return err
	}
	g.now = &cluster.Transaction{GTID: gtid}
	if h.Timestamp != 0 {
		g.now.At = time.Unix(int64(h.Timestamp), 0).UTC()
	}
	return nil
}

// end hands on the transaction that was begun.
func (g *gathering) end() error {
	if g.now == nil {
		return nil
	}
	t := *g.now
	g.now = nil
	kept, err := g.each(t)
	if kept {
		g.kept += len(t.Changes)
	}
	return err
}

func gtidOf(e *replication.GTIDEvent) string {
	id := fmt.Sprintf("%x-%x-%x-%x-%x", e.SID[:4], e.SID[4:6], e.SID[6:8], e.SID[8:10], e.SID[10:])
	if e.Tag != "" {
		id += ":" + e.Tag
	}
	return fmt.Sprintf("%s:%d", id, e.GNO)
}

// add adds the changes of an event.
func (g *gathering) add(e *replication.BinlogEvent, ev *replication.RowsEvent) error {
	kind, to := e.Header.EventType, g.now
	table := cluster.Table{Schema: string(ev.Table.Schema), Name: string(ev.Table.Table)}
	step, what := 1, cluster.Insert
	switch kind {
	case replication.UPDATE_ROWS_EVENTv0, replication.UPDATE_ROWS_EVENTv1, replication.UPDATE_ROWS_EVENTv2,
		replication.PARTIAL_UPDATE_ROWS_EVENT, replication.MARIADB_UPDATE_ROWS_COMPRESSED_EVENT_V1:
		step, what = 2, cluster.Update
	case replication.DELETE_ROWS_EVENTv0, replication.DELETE_ROWS_EVENTv1, replication.DELETE_ROWS_EVENTv2,
		replication.MARIADB_DELETE_ROWS_COMPRESSED_EVENT_V1:
		what = cluster.Delete
	}
	stored, err := storedIn(e.Header.EventType, e.RawData[replication.EventHeaderSize:len(e.RawData)-g.trailer], ev)
	if err != nil {
		return fmt.Errorf("decode the rows of %s: %w", table, err)
	}
	image := func(row int) []cluster.Value {
		out := values(ev.Rows[row])
		for i := range stored.columns {
			if bytes, is := stored.rows[row][i].([]byte); is && stored.columns[i] {
				out[i].Stored = string(bytes)
			}
		}
		return out
	}
	for i := 0; i+step <= len(ev.Rows); i += step {
		if g.kept+len(to.Changes) >= g.rows {
			to.Skipped++
			continue
		}
		c := cluster.Change{Table: table, Kind: what, Partial: kind == replication.PARTIAL_UPDATE_ROWS_EVENT}
		for j := i; j < i+step && j < len(ev.SkippedColumns); j++ {
			c.Partial = c.Partial || len(ev.SkippedColumns[j]) > 0
		}
		switch what {
		case cluster.Insert:
			c.After = image(i)
		case cluster.Delete:
			c.Before = image(i)
		default:
			c.Before, c.After = image(i), image(i+1)
		}
		to.Changes = append(to.Changes, c)
	}
	return nil
}

// documents are rows of which the columns that have documents were left as they are stored.
type documents struct {
	columns []bool
	rows    [][]any
}

// storedIn decodes the rows again where columns have documents, as if these were bytes.
func storedIn(kind replication.EventType, body []byte, ev *replication.RowsEvent) (documents, error) {
	if kind == replication.PARTIAL_UPDATE_ROWS_EVENT || !slices.Contains(ev.Table.ColumnType, mysql.MYSQL_TYPE_JSON) {
		return documents{}, nil
	}
	again := *ev
	at, err := again.DecodeHeader(body)
	if err != nil {
		return documents{}, err
	}
	table := *ev.Table
	table.ColumnType = slices.Clone(table.ColumnType)
	found := documents{columns: make([]bool, len(table.ColumnType))}
	for i, t := range table.ColumnType {
		if t == mysql.MYSQL_TYPE_JSON {
			table.ColumnType[i], found.columns[i] = mysql.MYSQL_TYPE_BLOB, true
		}
	}
	again.Table = &table
	err = again.DecodeData(at, body)
	found.rows = again.Rows
	return found, err
}

// values are a row as text.
func values(row []any) []cluster.Value {
	out := make([]cluster.Value, len(row))
	for i, v := range row {
		switch v := v.(type) {
		case nil:
			out[i].Null = true
		case []byte:
			out[i].Text = string(v)
		default:
			out[i].Text = fmt.Sprint(v)
		}
	}
	return out
}
