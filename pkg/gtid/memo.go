package gtid

import "github.com/mmm-manager/mmm-manager/pkg/cluster"

// Memo keeps the sets that were parsed last, since most positions are read again
// and again while nothing is written. The zero value and nil are empty, and nil
// stays so. One caller uses it at a time.
type Memo struct {
	kept [memoSize]parsed
	next int // the oldest
}

const memoSize = 32

type parsed struct {
	flavor cluster.Flavor
	text   string
	set    Set
}

// Parse is as the function Parse.
func (m *Memo) Parse(f cluster.Flavor, text string) (Set, error) {
	if m == nil || text == "" {
		return Parse(f, text)
	}
	for age := range memoSize {
		if p := &m.kept[(m.next+memoSize-1-age)%memoSize]; p.text == text && p.flavor == f {
			return p.set, nil
		}
	}
	set, err := Parse(f, text)
	if err == nil {
		m.kept[m.next] = parsed{f, text, set}
		m.next = (m.next + 1) % memoSize
	}
	return set, err
}
