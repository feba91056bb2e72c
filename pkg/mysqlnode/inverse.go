package mysqlnode

import (
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// family groups data types by how a value of them is written in a statement.
type family int

const (
	opaque     family = iota // neither compared nor put back
	digits                   // the digits themselves
	inexact                  // as digits, but not compared
	characters               // bytes in the character set of the column
	octets                   // bytes
	moment                   // quoted
)

var families = map[string]family{
	"tinyint": digits, "smallint": digits, "mediumint": digits, "int": digits, "bigint": digits, "decimal": digits,
	"year": digits, "enum": digits, "set": digits, "bit": digits, "float": inexact, "double": inexact,
	"char": characters, "varchar": characters, "tinytext": characters, "text": characters, "mediumtext": characters, "longtext": characters,
	"binary": octets, "varbinary": octets, "tinyblob": octets, "blob": octets, "mediumblob": octets, "longblob": octets,
	"date": moment, "datetime": moment, "timestamp": moment, "time": moment,
}

var digitsOnly = regexp.MustCompile(`^-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?$`)

// Inverse is the statement that takes one change back. It hits the row only as the change has
// left it; an empty statement means that nothing changed. An error says why there is none.
func Inverse(c cluster.Change, t cluster.TableInfo) (string, error) {
	if err := undoable(c, t); err != nil {
		return "", fmt.Errorf("take back the %s of a row of %s: %w", c.Kind, c.Table, err)
	}
	name := identifier(c.Table.Schema) + "." + identifier(c.Table.Name)
	statement, err := "", error(nil)
	switch c.Kind {
	case cluster.Insert:
		if statement, err = where(c.After, t); err == nil {
			statement = "DELETE FROM " + name + statement
		}
	case cluster.Delete:
		if statement, err = assign(c.Before, nil, t); err == nil {
			statement = "INSERT INTO " + name + " SET " + statement
		}
	default:
		if slices.Equal(c.Before, c.After) {
			return "", nil
		}
		var set, at string
		if set, err = assign(c.Before, c.After, t); err == nil {
			if at, err = where(c.After, t); err == nil {
				statement = "UPDATE " + name + " SET " + set + at
			}
		}
	}
	if err != nil {
		return "", fmt.Errorf("take back the %s of a row of %s: %w", c.Kind, c.Table, err)
	}
	return statement, nil
}

func undoable(c cluster.Change, t cluster.TableInfo) error {
	switch n := max(len(c.Before), len(c.After)); {
	case c.Partial:
		return errors.New("its images lack columns (binlog_row_image)")
	case t.Engine == "":
		return errors.New("there is no such table, or it is not to be seen")
	case !strings.EqualFold(t.Engine, "InnoDB"):
		return fmt.Errorf("engine %s undoes nothing", t.Engine)
	case t.Triggers:
		return errors.New("the table has triggers")
	case t.Cascades && c.Kind != cluster.Insert:
		return errors.New("foreign keys hand its changes on to rows that no binary log has")
	case n != len(t.Columns):
		return fmt.Errorf("the table has %d columns, the image %d: it was altered since", len(t.Columns), n)
	}
	return nil
}

// where finds the row that looks like image.
func where(image []cluster.Value, t cluster.TableInfo) (string, error) {
	keyed := slices.ContainsFunc(t.Columns, func(c cluster.Column) bool { return c.Key })
	var terms []string
	for i, c := range t.Columns {
		v, name := image[i], identifier(c.Name)
		f := families[c.Type]
		if v.Null {
			terms = append(terms, name+" IS NULL")
			continue
		}
		if f == opaque || f == inexact {
			if !keyed || c.Key {
				return "", fmt.Errorf("column %s of type %s cannot be compared, and no other primary key tells the row", c.Name, c.Type)
			}
			continue
		}
		text, err := written(v, c)
		if err != nil {
			return "", err
		}
		if f != characters || c.Key {
			terms = append(terms, name+" = "+text)
		}
		if f == characters {
			// A collation takes different texts for equal.
			terms = append(terms, "CAST("+name+" AS BINARY) = "+hexadecimal(v.Text))
		}
	}
	return " WHERE " + strings.Join(terms, " AND "), nil
}

// assign sets the columns of image that differ from present, all where that is nil. Times are
// always set: a column may change by itself otherwise.
func assign(image, present []cluster.Value, t cluster.TableInfo) (string, error) {
	var terms []string
	for i, c := range t.Columns {
		if c.Generated || present != nil && image[i] == present[i] && families[c.Type] != moment {
			continue
		}
		text := "NULL"
		if !image[i].Null {
			var err error
			if text, err = written(image[i], c); err != nil {
				return "", err
			}
		}
		terms = append(terms, identifier(c.Name)+" = "+text)
	}
	return strings.Join(terms, ", "), nil
}

// written is a value as a statement writes it.
func written(v cluster.Value, c cluster.Column) (string, error) {
	switch families[c.Type] {
	case digits, inexact:
		if !digitsOnly.MatchString(v.Text) {
			return "", fmt.Errorf("column %s of type %s holds %q, which is no number", c.Name, c.Type, v.Text)
		}
		if v.Text == "-0" {
			return "-0e0", nil // an integer has no sign of its zero
		}
		return c.Digits(v.Text), nil
	case characters:
		if !charsetName.MatchString(c.Charset) {
			return "", fmt.Errorf("column %s has character set %q", c.Name, c.Charset)
		}
		return "_" + c.Charset + " " + hexadecimal(v.Text), nil
	case octets:
		text := v.Text
		if c.Type == "binary" && len(text) < c.Bytes {
			text += strings.Repeat("\x00", c.Bytes-len(text)) // which the binary log leaves out
		}
		return hexadecimal(text), nil
	case moment:
		return literal(v.Text), nil
	}
	return "", fmt.Errorf("column %s of type %s cannot be put back exactly", c.Name, c.Type)
}

func hexadecimal(text string) string { return "X'" + hex.EncodeToString([]byte(text)) + "'" }

// Inverses are the statements that take a transaction back, in the order in which they are to
// be executed. An error says why it cannot be taken back.
func Inverses(t cluster.Transaction, table func(cluster.Table) (cluster.TableInfo, error)) ([]string, error) {
	switch {
	case len(t.Statements) > 0:
		return nil, fmt.Errorf("it holds more than rows: %.200s", t.Statements[0])
	case t.Skipped > 0:
		return nil, fmt.Errorf("%d of its rows are too many", t.Skipped)
	}
	var all []string
	for _, c := range slices.Backward(t.Changes) {
		info, err := table(c.Table)
		if err != nil {
			return nil, err
		}
		statement, err := Inverse(c, info)
		if err != nil {
			return nil, err
		}
		if statement != "" {
			all = append(all, statement)
		}
	}
	return all, nil
}
