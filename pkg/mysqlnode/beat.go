package mysqlnode

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"unicode/utf8"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// beatTable is beside the epoch row's, so that neither's locks hold up the other.
const beatTable = "write_probe"

func (e EpochAt) beats() string {
	schema, _, _ := strings.Cut(e.Table, ".")
	return identifier(schema) + "." + identifier(beatTable)
}

// beat changes the row of node in each case, so that it is written, and only where the server is open:
// read_only does not bind every account of ours (MariaDB).
func (e EpochAt) beat(node cluster.Endpoint) string {
	return fmt.Sprintf("INSERT INTO %s (uniqsign, node, beats) SELECT %s, %s, 1 FROM DUAL WHERE @@global.read_only = 0 "+
		"ON DUPLICATE KEY UPDATE beats = beats + 1", e.beats(), literal(string(e.UniqSign)), literal(string(node)))
}

func (e EpochAt) createBeats() []string {
	schema, _, _ := strings.Cut(e.Table, ".")
	return []string{
		"CREATE DATABASE IF NOT EXISTS " + identifier(schema),
		fmt.Sprintf("CREATE TABLE IF NOT EXISTS %s (uniqsign VARCHAR(%d) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, "+
			"node VARCHAR(%d) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, beats BIGINT UNSIGNED NOT NULL, "+
			"written TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP, PRIMARY KEY (uniqsign, node)) ENGINE = InnoDB",
			e.beats(), widestUniqSign, widestActive),
	}
}

// WriteBeat writes the row of node, of a table write_probe beside the epoch row's, which is made where
// it is missing; on a server that is closed it writes nothing. It replicates. It
// takes as long as the server takes to commit: NoRoom tells of a disk that is full.
func (c *Conn) WriteBeat(ctx context.Context, at EpochAt, node cluster.Endpoint) error {
	const op = "write a row on"
	switch {
	case at.Table == "":
		return c.fault(op, errors.New("no table is named for the epoch row"))
	case utf8.RuneCountInString(string(at.UniqSign)) > widestUniqSign || utf8.RuneCountInString(string(node)) > widestActive:
		return c.fault(op, errors.New("the uniqsign or the address is too long for the table"))
	}
	err := c.exec(ctx, op, at.beat(node))
	if !absent(number(err)) {
		return err
	}
	readOnly, _, err := c.ReadOnly(ctx)
	if err != nil || readOnly != cluster.No {
		return err
	}
	return c.exec(ctx, op, append(at.createBeats(), at.beat(node))...)
}

// Numbers by which a server says that there is no room, and those by which it says why a file was not written.
const (
	errDiskFull     = 1021
	errErrorOnWrite = 1026
	errTableFull    = 1114
	errWriteFile    = 3 // EE_WRITE of MySQL's mysys
)

// NoRoom reports whether err says that the server's disk is full.
func NoRoom(err error) bool {
	switch number(err) {
	case errDiskFull, errTableFull:
		return true
	case errErrorOnWrite, errWriteFile:
		return strings.Contains(err.Error(), "No space left") || strings.Contains(err.Error(), "rrcode: 28") || strings.Contains(err.Error(), "errno: 28")
	}
	return false
}

// Folders are where the server keeps its data and its binary log, as it names them itself; without the
// latter where it has none.
func (c *Conn) Folders(ctx context.Context) ([]string, error) {
	const op = "read the folders of"
	got, err := c.query(ctx, op, "SELECT @@global.datadir AS data, @@global.log_bin_basename AS logs")
	if err != nil {
		return nil, err
	}
	if len(got) != 1 || len(got[0].rows) != 1 {
		return nil, c.fault(op, errors.New("the server gave no answer"))
	}
	r := got[0].row(0)
	folders := []string{r.text("data")}
	if logs := r.text("logs"); path.IsAbs(logs) {
		folders = append(folders, path.Dir(logs))
	}
	return folders, nil
}

// Held reports whether the session waits for what another one holds, or for all to let go of a table: a lock of the
// server, of a table or of its definition, FLUSH TABLES.
func (s Session) Held() bool {
	return s.Queues() || s.State == "Waiting for table flush"
}
