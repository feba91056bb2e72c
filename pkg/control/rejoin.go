package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/failover"
	"github.com/mmm-manager/mmm-manager/pkg/gtid"
	"github.com/mmm-manager/mmm-manager/pkg/reconcile"
)

// RejoinWait is how long a server is given to replicate after a discard.
const RejoinWait = 30 * time.Second

// Returning is the server that is to rejoin, and beside it the active, as a rejoin needs them.
type Returning interface {
	// Sample asks a server for all that it says of itself.
	Sample(ctx context.Context, node cluster.Endpoint) (cluster.Server, error)
	// Transactions reads the binary logs of the server from the newest log on before which
	// known holds; complete is false where the logs begin too late for that. There is
	// room for so many rows of those that each keeps.
	Transactions(ctx context.Context, known func(position string) (bool, error), each func(cluster.Transaction) (kept bool, err error)) (complete bool, err error)
	// Table is what the server says of a table; with an error there may be the columns alone.
	Table(ctx context.Context, t cluster.Table) (cluster.TableInfo, error)
	// Unfinished is what a discard has noted that did not come to its end.
	Unfinished(ctx context.Context) (errant, keep string, err error)
	// Undoable says why a transaction cannot be taken back; nil when it can.
	Undoable(ctx context.Context, t cluster.Transaction) error
	// Undo takes transactions back, the last first, all or none, and notes it as it does.
	Undo(ctx context.Context, errant, keep string, all []cluster.Transaction) error
	// Forget leaves the server without binary logs and without all transactions but keep.
	Forget(ctx context.Context, errant, keep string) error
}

// Rejoin looks at why a server does not replicate and, with Discard, ends its quarantine.
type Rejoin struct {
	Pair    cluster.Pair
	Node    cluster.Endpoint
	With    Returning
	Discard bool
	// Confirm is shown what is lost; an error ends it before anything is done.
	Confirm func(Quarantine) error
	// Progress is told each thing as it is done.
	Progress func(string)
}

// Quarantine is what is known of a server that is to rejoin.
type Quarantine struct {
	Tag    cluster.Tag      `json:"tag"`
	Node   cluster.Endpoint `json:"node"`
	Active cluster.Endpoint `json:"active"`
	// State is a word: the code of the reason, "replicates" where nothing is wrong.
	State  string `json:"state"`
	Reason string `json:"reason"`
	WayOut string `json:"way_out,omitempty"`
	// Errant is what the server has and the active lacks, Count how many transactions were found of it.
	Errant string `json:"errant,omitempty"`
	Count  int    `json:"count"`
	// Transactions are the first of them, Unread is why there are none or not all.
	Transactions []Errant `json:"transactions,omitempty"`
	Unread       string   `json:"unread,omitempty"`
	// Refused is why they cannot be discarded; empty when they can.
	Refused string `json:"refused,omitempty"`
	// Notes are what else is to be known of the server.
	Notes []string `json:"notes,omitempty"`
	// Done reports that they were.
	Done bool `json:"done"`

	all  []cluster.Transaction
	keep string
}

// Errant is one transaction that the active lacks.
type Errant struct {
	GTID       string      `json:"gtid"`
	Time       *time.Time  `json:"time,omitempty"`
	Changes    []ErrantRow `json:"changes,omitempty"`
	More       int         `json:"more,omitempty"`
	Statements []string    `json:"statements,omitempty"`
}

// ErrantRow is one changed row; columns of which the name is not known are @1, @2, ...
type ErrantRow struct {
	Table  string             `json:"table"`
	Kind   cluster.ChangeKind `json:"kind"`
	Before []Field            `json:"before,omitempty"`
	After  []Field            `json:"after,omitempty"`
}

// Field is one column of a row; no value is NULL.
type Field struct {
	Name  string  `json:"name"`
	Value *string `json:"value"`
}

// positionRefused is the error by which a source refuses a position.
const positionRefused = 1236

// What a report shows at most.
const (
	shownTransactions = 100
	shownRows         = 50
	shownBytes        = 200
)

// Rejoin tells why a server does not replicate. With Discard it takes back what the server
// has and the active lacks; the agent starts replication then. It opens nothing and changes
// nothing on the active.
func (s *Service) Rejoin(ctx context.Context, r Rejoin) (Quarantine, error) {
	q := Quarantine{Tag: r.Pair.Tag, Node: r.Node}
	if !r.Pair.Has(r.Node) {
		return q, noSuchNode(r.Pair, r.Node)
	}
	snap, err := s.opt.Bus.Snapshot(ctx, r.Pair.UniqSign)
	if err != nil {
		return q, unreachable(err)
	}
	q.Active = activeOf(snap)
	a := snap.Assignment
	switch {
	case q.Active == r.Node:
		return q, refuse("active", fmt.Sprintf("%s is the active: nothing is compared with itself", r.Node), "")
	case q.Active == "" || a.Phase != cluster.PhaseSteady:
		return q, refuse("no-active", fmt.Sprintf("no server of tag %s is active and steady: there is nothing to compare with", r.Pair.Tag), "mmm-status says why")
	}
	node, active, err := r.samples(ctx, q.Active)
	if err != nil {
		return q, err
	}
	errant, keep, err := r.With.Unfinished(ctx)
	if err != nil {
		return q, err
	}
	report, told := newest(snap.Reports[r.Node], a.Order())
	if errant != "" && !finished(node, errant, keep) {
		q.State, q.Errant, q.keep = "unfinished", errant, keep
		q.Reason = "transactions were taken back here, and the server has not forgotten them yet: " + errant
		q.WayOut = failover.RejoinCommand(r.Pair.Tag, r.Node) + " --discard"
		return r.end(ctx, s, q, stale(node, active, errant, keep), node, report, told)
	}
	if err := r.judge(&q, node, active, report, told, a.Known[r.Node]); err != nil {
		return q, err
	}
	if other := active.Replaces(a.Known[q.Active]); other != "" {
		q.Notes = append(q.Notes, fmt.Sprintf("find out first which of both has the data; of %s, the active: %s", q.Active, other))
	}
	if q.State != "errant" {
		if r.Discard {
			return q, refuse("not-errant", fmt.Sprintf("nothing is to be discarded on %s: %s", r.Node, q.Reason), q.WayOut)
		}
		return q, nil
	}
	return r.end(ctx, s, q, r.readErrant(ctx, &q, active), node, report, told)
}

// finished reports whether nothing but the note is left of a discard.
func finished(node cluster.Server, errant, keep string) bool {
	has, err := gtid.Parse(node.Flavor, node.Executed)
	if err != nil || !node.Channel.GTID {
		return false
	}
	gone, err := gtid.Parse(node.Flavor, errant)
	if err != nil {
		return false
	}
	kept, err := reconcile.Contains(node.Flavor, node.Executed, keep)
	return err == nil && kept && gone.Minus(has).Equal(gone)
}

// stale is why a discard that did not come to its end is not finished now: the servers have
// changed beyond what it has noted.
func stale(node, active cluster.Server, errant, keep string) error {
	noted, err := reconcile.Join(node.Flavor, errant, keep)
	if err != nil {
		return err
	}
	if ok, err := reconcile.Contains(node.Flavor, noted, node.Executed); err != nil || !ok {
		return errors.Join(err, errors.New("the server has other transactions than the discard that was not finished has noted (in the table discarded, beside that of the epochs; drop it when that is long past)"))
	}
	if ok, err := reconcile.Contains(active.Flavor, active.Executed, keep); err != nil || !ok {
		return errors.Join(err, errors.New("the active lacks what the discard that was not finished keeps"))
	}
	return nil
}

func refuse(code, text, hint string) *Error {
	return &Error{Code: code, Exit: ExitRefused, Message: text, Hint: hint}
}

// samples asks the server first: the active only grows.
func (r Rejoin) samples(ctx context.Context, at cluster.Endpoint) (node, active cluster.Server, err error) {
	if node, err = r.With.Sample(ctx, r.Node); err == nil {
		active, err = r.With.Sample(ctx, at)
	}
	return node, active, err
}

// newest is the report of the agent that works on a server under the order in force.
func newest(all map[string]cluster.Report, o cluster.Order) (cluster.Report, bool) {
	var last cluster.Report
	found := false
	for _, r := range all {
		if r.Order == o && (!found || r.Deed == cluster.DeedQuarantine) {
			last, found = r, true
		}
	}
	return last, found
}

// judge says what holds the server up, in the words of the agent where it has some.
func (r Rejoin) judge(q *Quarantine, node, active cluster.Server, report cluster.Report, told bool, before string) error {
	q.Reason = cmp.Or(report.Reason, "its agent says nothing of it")
	q.Notes = notes(node, active, r.Node, before)
	rebuild := fmt.Sprintf("rebuild it from %s (README, Quarantine)", q.Active)
	state := func(code, reason, way string) { q.State, q.Reason, q.WayOut = code, reason, way }
	if !told {
		q.Reason = "no agent reports of it under the record in force"
	}
	if node.Flavor != active.Flavor {
		state("flavor", "one server is MySQL, the other MariaDB: their transactions cannot be compared", rebuild)
		return nil
	}
	if why, no := reconcile.Stranger(node, active); no {
		state(why.Code, why.Text, rebuild)
		return nil
	}
	has, err := gtid.Parse(node.Flavor, node.Executed)
	if err != nil {
		return err
	}
	known, err := gtid.Parse(active.Flavor, active.Executed)
	if err != nil {
		return err
	}
	ch := node.Channel
	switch errant := has.Minus(known); {
	case !errant.IsEmpty():
		state("errant", "it has transactions that the active lacks: "+errant.String(), "carry over by hand what is worth keeping, then "+failover.RejoinCommand(r.Pair.Tag, r.Node)+" --discard")
		q.Errant, q.keep = errant.String(), has.Common(known).String()
	case reconcile.Lost(node, active) != "":
		state("rebuild", "the binary logs of the active no longer hold what the server needs: "+reconcile.Lost(node, active), rebuild)
	case reconcile.Tail(node, active) != "" && node.Flavor == cluster.MySQL:
		state("rebuild", "it has lost "+reconcile.Tail(node, active)+", which it wrote itself, and would skip that", rebuild)
	case ch.Replicates(q.Active):
		state("replicates", "it replicates from the active", "")
	case !ch.Configured:
		state("no-channel", reconcile.ReasonNoChannel.Text, fmt.Sprintf("point it to %s by GTID; the agent starts it", q.Active))
	case ch.IOErrno == positionRefused && node.Flavor == cluster.MariaDB:
		state("position-refused", fmt.Sprintf("the active refuses the position of the server: %s", ch.IOError),
			fmt.Sprintf("where the active was rebuilt from this server, or has purged only what this server wrote itself: STOP SLAVE; SET GLOBAL gtid_slave_pos = '%s'; otherwise %s", has.Highest(), rebuild))
	case ch.IOErrno != 0:
		state("io-error", fmt.Sprintf("the receiving thread has error %d: %s", ch.IOErrno, ch.IOError), "mend what it says; the agent goes on by itself")
	case ch.SQLErrno != 0:
		state("sql-error", fmt.Sprintf("the applying thread has error %d: %s", ch.SQLErrno, ch.SQLError), "mend what it says, or "+rebuild)
	default:
		q.State, q.WayOut = "waiting", "nothing is to be done: it has nothing that the active lacks, and its agent starts it"
		if !told {
			q.WayOut = "start the agent of the server"
		}
	}
	return nil
}

// notes are what a comparison of transactions does not tell of a server. Who was known
// behind its address is in the record; the active knows it of one that joined before that was kept.
func notes(node, active cluster.Server, at cluster.Endpoint, known string) []string {
	var all []string
	if active.Channel.Source == at {
		known = cmp.Or(known, active.Channel.SourceIdentity)
	}
	if other := node.Replaces(known); other != "" {
		all = append(all, other)
	}
	if node.Older(active) {
		all = append(all, fmt.Sprintf("it is older than the active (%s, the active %s): no release is made to replicate from a newer one", node.Version, active.Version))
	}
	return all
}

// readErrant reads the errant transactions into q. The error says why they cannot be
// discarded, as far as the logs tell.
func (r Rejoin) readErrant(ctx context.Context, q *Quarantine, active cluster.Server) error {
	known, err := gtid.Parse(active.Flavor, active.Executed)
	if err != nil {
		return err
	}
	received, err := gtid.Parse(active.Flavor, active.Channel.Received)
	if err != nil {
		return err
	}
	gone, err := gtid.Parse(active.Flavor, q.Errant)
	if err != nil {
		return err
	}
	touched := map[cluster.Table]bool{}
	var depends string
	var read gtid.Set
	has := func(position string) (bool, error) {
		s, err := gtid.Parse(active.Flavor, position)
		return err == nil && known.Contains(s), err
	}
	columns := map[cluster.Table][]cluster.Column{}
	complete, err := r.With.Transactions(ctx, has, func(t cluster.Transaction) (bool, error) {
		common, err := has(t.GTID)
		if err != nil {
			return false, err
		}
		if common {
			for _, c := range t.Changes {
				if q.Count == 0 || depends != "" {
					break
				}
				if touched[c.Table] {
					depends = fmt.Sprintf("%s, which the active has too, came after them and changed %s", t.GTID, c.Table)
				} else if c.Kind != cluster.Insert {
					// A foreign key may have changed rows of any table.
					if of, err := r.With.Table(ctx, c.Table); err != nil || of.Engine == "" || of.Cascades {
						depends = fmt.Sprintf("%s, which the active has too, came after them and changed %s, of which foreign keys may hand changes on", t.GTID, c.Table)
					}
				}
			}
			if q.Count > 0 && depends == "" && (len(t.Statements) > 0 || t.Skipped > 0) {
				depends = fmt.Sprintf("%s, which the active has too, came after them, and what it changed is not known", t.GTID)
			}
			return false, nil
		}
		one, err := gtid.Parse(active.Flavor, t.GTID)
		if err != nil {
			return false, err
		}
		read = read.Union(one)
		q.Count++
		q.all = append(q.all, t)
		for _, c := range t.Changes {
			touched[c.Table] = true
		}
		if q.Count <= shownTransactions {
			q.Transactions = append(q.Transactions, shown(t, func(of cluster.Table) []cluster.Column {
				if _, asked := columns[of]; !asked {
					info, _ := r.With.Table(ctx, of)
					columns[of] = info.Columns
				}
				return columns[of]
			}))
		}
		return true, nil
	})
	switch {
	case err != nil:
		q.Unread = err.Error()
		return fmt.Errorf("their rows cannot be read: %w", err)
	case !complete || !read.Contains(gone):
		// Some may never have been there: without log_replica_updates those of another server are not.
		q.Unread = "its binary logs do not hold all of them"
		return errors.New(q.Unread)
	case depends != "":
		return errors.New(depends)
	case !gone.Minus(received).Equal(gone):
		// A transaction that the server numbers anew must not meet an old one of that number.
		return errors.New("the active has received some of them and not applied them")
	}
	for _, t := range q.all {
		if err := r.With.Undoable(ctx, t); err != nil {
			return fmt.Errorf("%s: %w", t.GTID, err)
		}
	}
	return nil
}

func shown(t cluster.Transaction, columns func(cluster.Table) []cluster.Column) Errant {
	e := Errant{GTID: t.GTID, More: t.Skipped}
	if !t.At.IsZero() {
		e.Time = &t.At
	}
	for _, s := range t.Statements {
		e.Statements = append(e.Statements, short(s))
	}
	for i, c := range t.Changes {
		if i == shownRows {
			e.More += len(t.Changes) - i
			break
		}
		of := columns(c.Table)
		e.Changes = append(e.Changes, ErrantRow{Table: c.Table.String(), Kind: c.Kind, Before: fields(c.Before, of), After: fields(c.After, of)})
	}
	return e
}

// fields gives columns their names where there are as many.
func fields(image []cluster.Value, of []cluster.Column) []Field {
	var out []Field
	for i, v := range image {
		f := Field{Name: fmt.Sprintf("@%d", i+1)}
		if len(of) == len(image) {
			f.Name, v.Text = of[i].Name, of[i].Digits(v.Text)
		}
		if !v.Null {
			text := short(v.Text)
			f.Value = &text
		}
		out = append(out, f)
	}
	return out
}

func short(text string) string {
	if len(text) <= shownBytes {
		return text
	}
	return fmt.Sprintf("%s... (%d bytes)", text[:shownBytes], len(text))
}

// end discards what is errant where that is asked for and not refused.
func (r Rejoin) end(ctx context.Context, s *Service, q Quarantine, cannot error, node cluster.Server, report cluster.Report, told bool) (Quarantine, error) {
	switch ch := node.Channel; {
	case cannot != nil:
		q.Refused = cannot.Error()
	case node.ReadOnly != cluster.Yes:
		q.Refused = "the server is open: its agent closes it first"
	case ch.Configured && !ch.Stopped():
		q.Refused = "the server replicates: its agent stops that first"
	case q.State != "unfinished" && (!told || report.Deed != cluster.DeedQuarantine):
		q.Refused = "its agent does not hold the server in quarantine"
	}
	if !r.Discard {
		return q, nil
	}
	if q.Refused != "" {
		return q, refuse("refused", fmt.Sprintf("nothing was discarded on %s: %s", r.Node, q.Refused), fmt.Sprintf("rebuild it from %s (README, Quarantine)", q.Active))
	}
	if r.Confirm != nil {
		if err := r.Confirm(q); err != nil {
			return q, err
		}
	}
	// A person may have taken a minute to answer.
	now, err := r.With.Sample(ctx, r.Node)
	if err != nil {
		return q, err
	}
	snap, err := s.opt.Bus.Snapshot(ctx, r.Pair.UniqSign)
	if err != nil || activeOf(snap) != q.Active || snap.Assignment.Phase != cluster.PhaseSteady ||
		now.Executed != node.Executed || now.ReadOnly != cluster.Yes || now.Channel.Configured && !now.Channel.Stopped() {
		return q, refuse("changed", fmt.Sprintf("nothing was discarded on %s: something changed meanwhile", r.Node), "look again")
	}
	if q.State != "unfinished" {
		if err := r.With.Undo(ctx, q.Errant, q.keep, q.all); err != nil {
			if noted, _, lost := r.With.Unfinished(context.WithoutCancel(ctx)); lost != nil || noted == q.Errant {
				return q, &Error{Code: "unfinished", Exit: ExitUnknown, Err: err, Message: err.Error(), Hint: "their rows may be taken back: the same command finds out, and goes on"}
			}
			return q, &Error{Code: "not-undone", Exit: ExitRefused, Err: err, Message: err.Error(), Hint: fmt.Sprintf("the rows are as they were; rebuild %s from %s", r.Node, q.Active)}
		}
		r.tell(fmt.Sprintf("%d transactions were taken back on %s", q.Count, r.Node))
	}
	if err := r.With.Forget(ctx, q.Errant, q.keep); err != nil {
		return q, &Error{Code: "unfinished", Exit: ExitUnknown, Err: err, Message: err.Error(), Hint: "their rows are taken back; the same command finishes it"}
	}
	q.Done = true
	r.tell("the server has forgotten them; its agent compares the two and starts replication")
	return r.follow(ctx, s, q)
}

func (r Rejoin) tell(text string) {
	if r.Progress != nil {
		r.Progress(text)
	}
}

// follow waits until the server replicates.
func (r Rejoin) follow(ctx context.Context, s *Service, q Quarantine) (Quarantine, error) {
	end := time.Now().Add(RejoinWait)
	for {
		now, err := r.With.Sample(ctx, r.Node)
		if err == nil && now.Channel.Replicates(q.Active) {
			q.State, q.Reason, q.WayOut = "replicates", "it replicates from the active", ""
			return q, nil
		}
		if !time.Now().Before(end) || !s.wait(ctx, look) {
			e := &Error{Code: "not-replicating", Exit: ExitFailed, Err: err, Hint: "mmmctl rejoin without --discard says why",
				Message: fmt.Sprintf("the transactions are gone from %s, and it does not replicate yet", r.Node)}
			return q, e
		}
	}
}
