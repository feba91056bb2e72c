package reconcile

import "github.com/mmm-manager/mmm-manager/pkg/cluster"

// Kind names one step.
type Kind string

// The steps, in their safety order.
const (
	// StopIO stops the receiving thread of the active's own channel, so that it
	// pulls nothing from a server that is not verified.
	StopIO Kind = "stop receiving"
	// StopReplication stops both threads of a server in quarantine.
	StopReplication Kind = "stop replication"
	// QueueClose leaves the closing order on an open connection of a server that hangs.
	QueueClose Kind = "queue closing"
	// CloseGently closes for a switchover: nothing that writes is killed.
	CloseGently Kind = "close gently"
	// Close closes and kills what blocks or remains.
	Close Kind = "close"
	// CloseAlone closes without a lease, and QueueAlone leaves that order on an open
	// connection: they need neither Redis nor the other server, and acknowledge nothing.
	CloseAlone Kind = "close without a lease"
	QueueAlone Kind = "queue closing without a lease"
	// Seal sets super_read_only on a server that is closed without it.
	Seal Kind = "seal"
	// Read samples the server in full, ReadAccounts reads its accounts.
	Read Kind = "read"
	// Settle sees that nothing is being written on a closed server any more.
	Settle       Kind = "wait for writes"
	ReadAccounts Kind = "read accounts"
	// Drain stops the receiving thread and waits until Target and everything
	// received is applied.
	Drain Kind = "drain"
	// CatchUp waits until Target is applied while the channel goes on.
	CatchUp Kind = "catch up"
	// Open makes the server writable once it has applied Target; before that it
	// writes the epoch row and releases accounts.
	Open Kind = "open"
	// Forget takes Accounts off the record of those that we have locked.
	Forget Kind = "forget accounts"
	// Release lets Accounts log in again: those of the active, and those of the
	// passive that are not to be blocked any more.
	Release Kind = "release accounts"
	// Lock keeps Accounts of the passive from logging in.
	Lock Kind = "lock accounts"
	// Await has every commit wait for the passive's acknowledgement, LetGo none.
	// Acknowledge has the passive's receiver acknowledge what it receives.
	Await       Kind = "wait for acknowledgements"
	LetGo       Kind = "wait for no acknowledgement"
	Acknowledge Kind = "acknowledge"
	// WriteMark raises the epoch row of the open active.
	WriteMark Kind = "write epoch row"
	// StartSQL starts the applying thread, StartIO the receiving thread,
	// StartReplication both.
	StartSQL         Kind = "start applying"
	StartIO          Kind = "start receiving"
	StartReplication Kind = "start replication"
	// Reposition has the active's channel, whose position is behind what it wrote itself,
	// go on after all that the active has, and starts both threads.
	Reposition Kind = "set position"
)

var ranks = map[Kind]int{
	StopIO: 1, StopReplication: 2,
	QueueClose: 3, CloseGently: 3, Close: 3, CloseAlone: 3, QueueAlone: 3, Seal: 3,
	Read: 4, ReadAccounts: 4,
	Drain: 5, CatchUp: 5,
	Open:  6,
	Await: 7, LetGo: 7, Forget: 7, Release: 7, Lock: 7, WriteMark: 7,
	Acknowledge: 8, StartSQL: 8, StartIO: 8, StartReplication: 8, Reposition: 8,
}

// Step is one thing to do to the server.
type Step struct {
	Kind Kind
	// Target is the position, in gtid text, that Drain, CatchUp and Open need applied; empty for none.
	Target string
	// Accounts are those of Forget, Release and Lock.
	Accounts []cluster.AccountState
	// Reason says why the step is wanted.
	Reason cluster.Reason
}

func step(k Kind, target string, why cluster.Reason) Step {
	return Step{Kind: k, Target: target, Reason: why}
}

// Rank is the place of the step in the safety order, which is: stop pulling
// from a server that is not trusted, close, read, apply, open, tend accounts and
// epoch row, start replication. The ranks of a Plan's steps never fall.
func (s Step) Rank() int { return ranks[s.Kind] }

// Plan is what to do to one server now.
type Plan struct {
	// Steps are carried out in this order, each only when the one before it
	// succeeded. Afterwards, and when there are none, Decide is asked again
	// with what is then known.
	Steps []Step
	// Reason says why nothing (more) is done; empty when the server is as it should be.
	Reason cluster.Reason
	// Deed is what can be said of the server without doing anything; DeedNone
	// when nothing new can be said.
	Deed cluster.Deed
	// Closed and Opened report that the facts alone, read under the order in
	// force, acknowledge it.
	Closed, Opened bool
	// Frozen reports that the record is not obeyed at all.
	Frozen bool
	// AskPeer asks for a full sample of the peer, begun after now.
	AskPeer bool
	// Suspect is what the passive has and the active lacked in an orderly
	// comparison, in gtid text; it is Memory.Suspect of the next decision.
	Suspect string
	// Errant is Suspect once it is confirmed.
	Errant string
	// Lost is what the server has surely lost of its own and the other has, in gtid text; it is
	// Memory.Lost of the next decision.
	Lost string
	// Tail is what the active has lost of its own and the other server has, in gtid text.
	Tail string
	// Verified reports that the passive was found to have nothing that the active lacks.
	Verified bool
	// Risk says in words what is done on less than a proof; empty for nothing.
	Risk string
}

// Has reports whether the plan holds a step of kind k.
func (p Plan) Has(k Kind) bool {
	for _, s := range p.Steps {
		if s.Kind == k {
			return true
		}
	}
	return false
}

func (p Plan) with(steps ...Step) Plan {
	p.Steps = append(p.Steps, steps...)
	return p
}

func (p Plan) because(r cluster.Reason) Plan {
	p.Reason = r
	return p
}
