package mysql

import (
	"fmt"
	"strconv"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// Servers is how many servers a world may have: the highest Options.ID.
const Servers = 4

// Txn is one transaction of a binary log. It never changes.
type Txn struct {
	// Origin is the ID of the server that committed it first, Seq its number there.
	Origin uint32
	Seq    uint64
	// Rows are the rows that it inserts.
	Rows []uint64
	// At is when it was committed first.
	At time.Duration

	one   [1]uint64 // room for Rows
	makes string    // the table of epoch rows that it makes
	mark  *marked
}

// marked is an epoch row.
type marked struct {
	markKey
	mark cluster.Mark
	// first: there was no row before. Where there is one it cannot be applied.
	first bool
}

type markKey struct {
	table string
	u     cluster.UniqSign
}

// span is a run of transaction numbers, both ends included; empty when hi is 0.
type span struct{ lo, hi uint64 }

// set is a set of transactions, one run for each origin: a server gets those of
// one origin in their order and without gaps.
type set [Servers]span

func (s *set) add(id uint32, seq uint64) {
	p := &s[id-1]
	if p.hi == 0 {
		p.lo = seq
	}
	p.lo, p.hi = min(p.lo, seq), max(p.hi, seq)
}

func (s *set) has(t *Txn) bool {
	p := s[t.Origin-1]
	return t.Seq <= p.hi && t.Seq >= p.lo
}

func (s *set) join(o set) {
	for i, p := range o {
		if p.hi != 0 {
			s.add(uint32(i+1), p.lo)
			s.add(uint32(i+1), p.hi)
		}
	}
}

// UUID is the server_uuid of the server with this ID.
func UUID(id uint32) string {
	return fmt.Sprintf("%08x-0000-4000-8000-%012x", 0xa0000000+id, id)
}

var uuids = func() (all [Servers]string) {
	for i := range all {
		all[i] = UUID(uint32(i + 1))
	}
	return all
}()

// mysql prints the set as MySQL does, without its line breaks.
func (s *set) mysql() string {
	var room [128]byte
	b := room[:0]
	for i, p := range s {
		if p.hi == 0 {
			continue
		}
		if len(b) > 0 {
			b = append(b, ',')
		}
		b = append(b, uuids[i]...)
		b = append(b, ':')
		b = strconv.AppendUint(b, p.lo, 10)
		if p.hi != p.lo {
			b = append(b, '-')
			b = strconv.AppendUint(b, p.hi, 10)
		}
	}
	return string(b)
}

// pos is a position of MariaDB in its one domain; the beginning when seq is 0.
type pos struct {
	id  uint32
	seq uint64
}

func (p pos) append(b []byte) []byte {
	if p.seq == 0 {
		return b
	}
	if len(b) > 0 {
		b = append(b, ',')
	}
	b = append(b, "0-"...)
	b = strconv.AppendUint(b, uint64(p.id), 10)
	b = append(b, '-')
	return strconv.AppendUint(b, p.seq, 10)
}

func (p pos) String() string {
	var room [64]byte
	return string(p.append(room[:0]))
}

// state adds the set as gtid_binlog_state prints it: the newest entry comes last.
func (s *set) state(b []byte, last pos) []byte {
	for i, p := range s {
		if p.hi != 0 && uint32(i+1) != last.id {
			b = pos{uint32(i + 1), p.hi}.append(b)
		}
	}
	return last.append(b)
}
