package mysqlnode

import (
	"slices"
	"strings"
	"sync"
)

// columns are the places of columns by their names in lower case.
type columns map[string]int

// place finds a column, whatever the case of its name.
func (c columns) place(name string) (int, bool) {
	var room [64]byte // as long as a name of a server is
	lower := room[:0]
	for _, b := range []byte(name) {
		if 'A' <= b && b <= 'Z' {
			b += 'a' - 'A'
		}
		lower = append(lower, b)
	}
	i, ok := c[string(lower)]
	return i, ok
}

// shapes are the columns of results that came before: of thousands of servers, over and over.
var shapes = struct {
	mu  sync.Mutex
	all map[shape]known
}{all: map[shape]known{}}

// mostShapes bounds what is kept: programs know some dozen statements.
const mostShapes = 256

type shape struct {
	first, last string
	n           int
}

type known struct {
	names []string
	columns
}

// columnsOf are those of a result with these names.
func columnsOf(names []string) columns {
	s := shape{names[0], names[len(names)-1], len(names)}
	shapes.mu.Lock()
	defer shapes.mu.Unlock()
	if k := shapes.all[s]; slices.Equal(k.names, names) {
		return k.columns
	}
	k := known{names, make(columns, len(names))}
	for i, name := range names {
		k.columns[strings.ToLower(name)] = i
	}
	if len(shapes.all) < mostShapes {
		shapes.all[s] = k
	}
	return k.columns
}
