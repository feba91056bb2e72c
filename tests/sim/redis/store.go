package redis

import (
	"slices"
	"strconv"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/redisbus"
)

// Remembered is how many of the last writes LoseLast can take back at least.
const Remembered = 32

// Store is what a Redis holds of one pair. Times that its methods take are
// Redis's clock since 1970. The wake-ups that a method returns are what Redis
// publishes, in order. A Store belongs to one world; it has no lock.
type Store struct {
	// Changed, where it is set, is called with each change of the record by a
	// script, once all of it is written and before anybody is woken. It is neither
	// for what is lost nor for a Redis that is emptied; a clone goes on with it.
	Changed func(before, after cluster.Assignment, event cluster.Event)

	u cluster.UniqSign
	state
	// history holds the states before the last writes, the newest last.
	history []state
	says    *says
	cache
}

// state is everything that is kept. Slices, and what pointers lead to, are
// replaced and never changed in place, so that a copy of it is a copy of all.
type state struct {
	listed             bool
	members            []cluster.Endpoint // sorted
	primary, secondary cluster.Endpoint
	serviceMode        string
	legacy             cluster.LegacyMode

	record      *cluster.Assignment // never nil
	incarnation string
	events      []*cluster.Event // the oldest first
	entry       entry            // of the newest event

	leader      string
	leaderEnds  ends
	token       uint64
	grant       *cluster.Grant // without what is left of it
	grantEnds   ends
	request     *cluster.Request
	requestEnds ends
	pause       *cluster.Pause
	verdict     *cluster.Verdict
	verdictEnds ends
	nodes       []*node
	knownNodes  []cluster.Endpoint // those that a Snapshot shows
}

// noRecord is the record where there is none.
var noRecord = &cluster.Assignment{}

// ends is the last millisecond of Redis's clock at which a key is there.
type ends int64

func (e ends) over(ms int64) bool { return ms > int64(e) }

func after(ms int64, life time.Duration) ends { return ends(ms + life.Milliseconds()) }

// entry is the id of an entry in a stream.
type entry struct {
	ms  int64
	seq uint64
}

func (e entry) next(ms int64) entry {
	if ms > e.ms {
		return entry{ms: ms}
	}
	return entry{e.ms, e.seq + 1}
}

func (e entry) String() string {
	return strconv.FormatInt(e.ms, 10) + "-" + strconv.FormatUint(e.seq, 10)
}

// says are the wake-ups of the look channel, made once.
type says struct {
	view, assignment, report, request, pause, verdict, both []redisbus.Wake
}

// NewStore is an empty Redis as the pair u sees it.
func NewStore(u cluster.UniqSign) *Store {
	s := &Store{}
	s.begin(u)
	return s
}

// begin empties s, which may have served another world.
func (s *Store) begin(u cluster.UniqSign) {
	all := s.says
	if all == nil || s.u != u {
		all = sayings(u)
	}
	*s = Store{u: u, state: state{record: noRecord}, history: s.history[:0], says: all}
}

func sayings(u cluster.UniqSign) *says {
	look := func(kinds ...string) []redisbus.Wake {
		all := make([]redisbus.Wake, len(kinds))
		for i, k := range kinds {
			all[i] = redisbus.Wake{UniqSign: u, Kind: k}
		}
		return all
	}
	return &says{
		view:       look(redisbus.KindView),
		assignment: look(redisbus.KindAssignment),
		report:     look(redisbus.KindReport),
		request:    look(redisbus.KindRequest),
		pause:      look(redisbus.KindPause),
		verdict:    look(redisbus.KindVerdict),
		both:       look(redisbus.KindAssignment, redisbus.KindRequest),
	}
}

// Clone is another Redis that holds the same and goes its own way from here.
func (s *Store) Clone() *Store {
	c := *s
	c.history = slices.Clone(s.history)
	return &c
}

// Empty is a Redis that lost everything.
func (s *Store) Empty() {
	s.state, s.history, s.cache = state{record: noRecord}, nil, cache{}
}

// LoseLast takes the last n writes back, or as many as are remembered; it
// returns how many it took.
func (s *Store) LoseLast(n int) int {
	n = min(n, len(s.history))
	if n <= 0 {
		return 0
	}
	keep := len(s.history) - n
	s.state, s.cache = s.history[keep], cache{}
	s.history = s.history[:keep]
	return n
}

// Expire removes for good what is over by now: Redis forgets it even when its
// clock is set back afterwards.
func (s *Store) Expire(now time.Duration) {
	ms := now.Milliseconds()
	if s.leaderEnds.over(ms) {
		s.leader = ""
	}
	if s.grantEnds.over(ms) {
		s.grant = nil
	}
	if s.requestEnds.over(ms) {
		s.request = nil
	}
	if s.verdictEnds.over(ms) {
		s.verdict = nil
	}
	s.expireViews(ms)
	s.cache = cache{}
}

// write keeps the present state, which the caller then changes.
func (s *Store) write() {
	if len(s.history) == 2*Remembered {
		n := copy(s.history, s.history[Remembered:])
		clear(s.history[n:])
		s.history = s.history[:n]
	}
	if s.history == nil {
		s.history = make([]state, 0, 2*Remembered)
	}
	s.history = append(s.history, s.state)
}

// own copies what the caller may change later. What is empty comes out of Redis as nil.
func own[T any](all []T) []T {
	if len(all) == 0 {
		return nil
	}
	return slices.Clone(all)
}

func ownRecord(a cluster.Assignment) cluster.Assignment {
	a.Eligible = own(a.Eligible)
	return a
}
