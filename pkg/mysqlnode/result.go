package mysqlnode

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// value is one column of one row as text.
type value struct {
	text string
	set  bool // false for NULL
}

// result is the answer to one statement; columns are found by name, whatever
// their order and case.
type result struct {
	columns columns
	rows    [][]value
}

// row is one row of a result.
type row struct {
	columns columns
	values  []value
}

func (r result) row(i int) row { return row{r.columns, r.rows[i]} }

// has reports whether the result has a column.
func (r result) has(name string) bool { _, ok := r.columns[name]; return ok }

// get returns the first of the named columns that exists.
func (r row) get(names ...string) (value, bool) {
	for _, name := range names {
		if i, ok := r.columns.place(name); ok {
			return r.values[i], true
		}
	}
	return value{}, false
}

// text is the first of the named columns that exists; empty for NULL or when none does.
func (r row) text(names ...string) string {
	v, _ := r.get(names...)
	return v.text
}

// integer is the first of the named columns that exists, when it holds a whole number.
func (r row) integer(names ...string) (int64, bool) {
	v, _ := r.get(names...)
	n, err := strconv.ParseInt(v.text, 10, 64)
	return n, err == nil
}

// on reads a boolean variable, which newer servers may word in new ways: what
// is not off is on.
func on(text string) bool {
	switch strings.ToUpper(text) {
	case "", "0", "OFF", "NO", "FALSE":
		return false
	}
	return true
}

// pairs reads a result of two columns, as SHOW VARIABLES and SHOW STATUS give
// it, with the names in lower case.
func (r result) pairs() map[string]string {
	m := make(map[string]string, len(r.rows))
	for _, v := range r.rows {
		if len(v) >= 2 {
			m[strings.ToLower(v[0].text)] = v[1].text
		}
	}
	return m
}

// readAll reads every result of a batch. It returns what came before an error.
func readAll(rows driver.Rows) ([]result, error) {
	var all []result
	for {
		names := rows.Columns()
		if len(names) > 0 {
			one, err := readOne(rows, names)
			if err != nil {
				return all, err
			}
			all = append(all, one)
		}
		next, ok := rows.(driver.RowsNextResultSet)
		if !ok || !next.HasNextResultSet() {
			return all, nil
		}
		if err := next.NextResultSet(); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return all, err
		}
	}
}

func readOne(rows driver.Rows, names []string) (result, error) {
	r := result{columns: columnsOf(names)}
	dest := make([]driver.Value, len(names))
	for {
		if err := rows.Next(dest); errors.Is(err, io.EOF) {
			return r, nil
		} else if err != nil {
			return r, err
		}
		values := make([]value, len(dest))
		for i, d := range dest {
			values[i] = toValue(d)
		}
		r.rows = append(r.rows, values)
	}
}

// toValue copies a column out of the driver's buffer.
func toValue(d driver.Value) value {
	switch d := d.(type) {
	case nil:
		return value{}
	case []byte:
		return value{string(d), true}
	case string:
		return value{d, true}
	case int64:
		return value{strconv.FormatInt(d, 10), true}
	case uint64:
		return value{strconv.FormatUint(d, 10), true}
	case float32:
		return value{strconv.FormatFloat(float64(d), 'f', -1, 32), true}
	case float64:
		return value{strconv.FormatFloat(d, 'f', -1, 64), true}
	}
	return value{fmt.Sprint(d), true}
}
