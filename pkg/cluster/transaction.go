package cluster

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// Kinds of a Change.
const (
	Insert ChangeKind = "insert"
	Update ChangeKind = "update"
	Delete ChangeKind = "delete"
)

// ChangeKind is what was done to a row.
type ChangeKind string

// Table names a table.
type Table struct {
	Schema string `json:"schema"`
	Name   string `json:"name"`
}

// String gives schema.table.
func (t Table) String() string { return t.Schema + "." + t.Name }

// Value is one column of a row image as text: numbers in decimal, times as the
// server writes them in UTC, and what has characters or bytes as its bytes.
type Value struct {
	Null bool   `json:"null,omitempty"`
	Text string `json:"text,omitempty"`
	// Stored are the bytes of a document: 1 and 1.0 are one text in it, and two values.
	Stored string `json:"-"`
}

// Change is one row before and after, its columns by position; Before is nil for an
// insert, After for a delete.
type Change struct {
	Table  Table
	Kind   ChangeKind
	Before []Value
	After  []Value
	// Partial reports that an image lacks columns: they are null in it.
	Partial bool
}

// Transaction is one transaction as a binary log has it.
type Transaction struct {
	GTID string
	// At is when it was written, in whole seconds; zero when the log does not say.
	At      time.Time
	Changes []Change
	// Skipped is how many further changes there were for which there was no room.
	Skipped int
	// Statements are what it holds beside row images: DDL, and what was logged as a statement.
	Statements []string
}

// BinaryLog is one file of a server's binary log, and its size in bytes.
type BinaryLog struct {
	Name string
	Size uint64
}

// Column is what a server says of one column of a table.
type Column struct {
	Name string
	// Type is the data type without length, in lower case; Full the whole of it.
	Type, Full string
	// Charset is the character set; empty where the column has none.
	Charset string
	// Bytes is the greatest length in bytes of what has characters or bytes.
	Bytes int
	// Key reports that the column belongs to the primary key, Generated that the
	// server computes it.
	Key, Generated bool
}

// bits are the widths of the types whose values a binary log has with a sign whether or not
// the column has one.
var bits = map[string]uint{"tinyint": 8, "smallint": 16, "mediumint": 24, "int": 32, "bigint": 64, "set": 64, "bit": 64}

// Digits corrects a number of a row image, which has a sign even where the column has none.
func (c Column) Digits(text string) string {
	width, known := bits[c.Type]
	if !known || !strings.HasPrefix(text, "-") || strings.HasSuffix(c.Type, "int") && !strings.Contains(c.Full, "unsigned") {
		return text
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return text
	}
	return strconv.FormatUint(uint64(n)&(math.MaxUint64>>(64-width)), 10)
}

// TableInfo is what must be known of a table to undo changes of it.
type TableInfo struct {
	Columns []Column
	// Engine is the storage engine; empty for a table that does not exist.
	Engine string
	// Triggers reports that the table has some; Cascades that changes of it change or
	// delete rows of another one.
	Triggers, Cascades bool
}
