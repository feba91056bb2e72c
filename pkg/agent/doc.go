// Package agent makes the servers of each pair match what Redis says: it closes
// the passive, drains and opens the active, keeps replication in the form that
// is safe, and reports what it did, step by step.
//
// Each server has its own worker with its own connections, so that a dead
// server never delays the other: closing one and draining the other run side by
// side. A worker asks package reconcile what to do, does it, and asks again. It
// is woken by a change of the record, a message on the predecessor's topic, the
// end of a connection and a timer; all of these only say "look now". The loops
// run on package sched alone: what ends elsewhere, a dial, a queued order, a
// session, leaves a value under a lock and sets the worker's one signal. No lock is
// held across a call to a server, to Redis or to the store.
//
// Closing. What holds up setting read_only is ended over a connection of its own while
// the order waits, which keeps others from beginning to write. Where somebody has set up
// semi-synchronous replication, commits that wait for an acknowledgement are let go last,
// when none of their clients is left to be told: nobody hears of a success that the other
// server does not know of.
//
// Connections. A worker keeps one connection to work on and one spare, opened
// beforehand, on which a closing order is left when the server hangs, and over which a
// closing ends sessions: a full server takes nobody in. Each
// opening dials one of its own before it checks the record and never dials
// again: whoever closes the server ends that session, so that an agent that was
// paused between its check and the opening cannot open when it wakes.
//
// Privileges. A session keeps those that it had at its log-in. One that lacks some
// works on until another has taken its place, which is dialled once per sample
// interval, so that a grant takes effect without a restart and a server that
// takes nobody in loses nobody. What is lacking is a note for a person; so is what
// is not granted any more, which each server is asked when a session is new and
// every 15 s, since an opening logs in anew and would be the first to find out.
// A server that reads back read_only=1, and super_read_only=1 where there is one,
// counts as closed though setting it is refused; the rest of a closing is demanded as ever.
//
// Pause. While the pair is paused no replication thread is started outside a change
// of role, so that a person can stop it; all else goes on.
//
// Users. Accounts that match the configured patterns may log in on the active
// only. They are locked before a closing, in a switchover right after it, since that
// may be refused; and released before an opening; always without the binary log. What is locked stands on record first, on disk and in
// Redis (ledger), and what was released is taken out of Redis only under the record under
// which that was found; a lock that is not on record is its owner's and stays, and so
// does one that its owner has set on the active as well. Our own account, those
// of replication and those of the server's administration are never locked.
// Failing to lock or release is a note for a person and never stops a closing.
//
// Scope. With Options.Local the agent acts on the servers of its own host, and
// reports of those only. It samples the other server and does nothing to it.
//
// Leases. With Options.Lease the active of such an agent stays open while at least
// one of two leases stands: the grant in Redis, and the lock on the other server. Each
// is renewed about every second by a loop of its own, which holds up neither the other
// nor the worker. Deadlines count from the beginning of the last good request, on a
// clock that goes on through a suspend. When both are about to end the server is
// closed, whatever the record says and whether or not it can be read; that needs the
// server and the state file, and acknowledges nothing. A lease never opens a server:
// that needs the grant of the epoch in force. The agent of the server that is to take
// over gets hold of the lock there, ends nobody's session for it, and reports when
// whoever had it can have no right left. An agent whose server has closed itself lets
// go of the lock until Redis grants it the role again.
//
// An agent that starts has a third of a lease to get one. Stopping it gives nothing
// back in Redis and leaves the server open: one that is started again takes over
// where the other was, which is how it is upgraded. While none runs, nobody closes
// the server when it is cut off, and once the lease is over the change of role that a
// failure brings rests on other proofs: a host that goes away for longer gives up the
// role before, by a switchover.
//
// Foreign hands. An active that somebody else closed, or on which our sessions were
// ended while it was closed, is not opened at once: see reconcile.ReopenAfter.
//
// Durability. Where the record has commits wait (acks), the server is opened when they
// do, and they are let go only under a record that lets them; before they wait the
// sessions of our user are ended, one of which may be an agent's that was paused
// before it let them go. The passive's receiver acknowledges before they wait.
//
// Memory. The newest record and the locks are kept on disk (keeper), and the
// epoch in a row of the active that replicates. An agent that is started again
// obeys nothing older, and opens no server by a record that is older than its row or, in
// a pair at rest and after a closing that was acknowledged, than that of the other server.
// A disk that fails is told and holds nothing up.
//
// Invariants, beside those of package reconcile:
//
//   - The record is read again just before a server is closed, killed on,
//     drained, opened or made to replicate, and once more after an opening; an
//     opening that is no longer wanted is undone at once.
//   - A closing is acknowledged only after read_only=1 was read back and the
//     sessions of this agent's own user, other than this worker's and the one that
//     holds the pair's lock, are gone.
//   - An epoch is on disk before a closing or an opening under it is acknowledged,
//     and before a server is opened under it.
//   - No account is locked that is not on record on disk or in Redis before.
//   - Before a server is opened its epoch row is raised and its accounts can log
//     in; only missing grants, and after three attempts other refusals of the
//     server, let it be opened without, and are told.
//   - A server that the pair does not have is never connected to, whoever names it.
//   - A server that needs a lease is open only while it has one, less the margin in
//     which it is closed.
//   - Stopping the agent changes no server. Its reports stay, numbered 0 where Redis
//     answers in time: they are its last word.
package agent
