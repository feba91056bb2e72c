package failover

import (
	"cmp"
	"slices"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// voice is somebody, by name, who tells something of a node.
type voice struct {
	node cluster.Endpoint
	name string
}

func (v voice) compare(o voice) int {
	return cmp.Or(cmp.Compare(v.node, o.node), cmp.Compare(v.name, o.name))
}

// table is something by voice. It is replaced and never changed in place, so that
// a State is copied with its fields alone.
type table[V any] []row[V]

type row[V any] struct {
	voice voice
	value V
}

func (t table[V]) get(k voice) (V, bool) {
	for i := range t {
		if t[i].voice == k {
			return t[i].value, true
		}
	}
	var none V
	return none, false
}

// of are the rows about node, by name.
func (t table[V]) of(node cluster.Endpoint) table[V] {
	first := 0
	for first < len(t) && t[first].voice.node != node {
		first++
	}
	end := first
	for end < len(t) && t[end].voice.node == node {
		end++
	}
	return t[first:end]
}

func (t *table[V]) put(k voice, v V) {
	// They are few.
	i := 0
	for i < len(*t) && (*t)[i].voice.compare(k) < 0 {
		i++
	}
	if i < len(*t) && (*t)[i].voice == k {
		*t = slices.Clone(*t)
		(*t)[i].value = v
		return
	}
	*t = slices.Insert(slices.Clip(*t), i, row[V]{k, v})
}

// keep takes out what is not there any more.
func (t *table[V]) keep(there func(voice) bool) {
	gone := func(r row[V]) bool { return !there(r.voice) }
	if slices.ContainsFunc(*t, gone) {
		*t = slices.DeleteFunc(slices.Clone(*t), gone)
	}
}
