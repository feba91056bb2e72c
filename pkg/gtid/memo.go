package gtid

import "github.com/mmm-manager/mmm-manager/pkg/cluster"

// Memo keeps the sets that were parsed last, since most positions are read again
// and again while nothing is written. The zero value and nil are empty, and nil
// stays so. One caller uses it at a time.
type Memo struct {
	kept []parsed // memoSize at most
	next int      // the oldest, when there are so many
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
	n := len(m.kept)
	for age := range n {
		if p := &m.kept[(m.next+n-1-age)%n]; p.text == text && p.flavor == f {
			return p.set, nil
		}
	}
	set, err := Parse(f, text)
	switch {
	case err != nil:
	case len(m.kept) < memoSize:
		m.kept = append(m.kept, parsed{f, text, set})
	default:
		m.kept[m.next] = parsed{f, text, set}
		m.next = (m.next + 1) % memoSize
	}
	return set, err
}
